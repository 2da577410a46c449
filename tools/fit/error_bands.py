#!/usr/bin/env python3
"""Makes the error bands that `whalec plan --explain` prints.

usage: error_bands.py RUNS.csv ERRORS.json VALIDATED.json [--write]

Prints, by GPU type and class of sizes, how many measured runs there are and the
median and the 90th percentile of |predicted / measured - 1|, each run predicted
by a fit that did not have its family (ERRORS.json: fit_parameters.py --held-out
5 --errors). Runs of tier A only, where step times are printed by those who ran
them; fewer than LEAST runs make no band.

Memory, which is not fitted on: by GPU type the median of |predicted / measured
- 1| and how much more than predicted 90 of 100 runs took at most (VALIDATED.json:
whalec validate --runs RUNS.csv --json). Not of tier E: its models are so small
that workspaces are most of their memory.

--write puts the result into compiler/cluster/catalogue/execution.
"""
import argparse
import collections
import csv
import json
import math
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "compiler/cluster/catalogue"
DATA = CATALOGUE / "execution/error-bands.json"
SIZES = [(1, 7), (8, 63), (64, None)]
LEAST = 5


def device_names():
    """Name of each device type by its name and aliases."""
    names = {}
    for path in sorted((CATALOGUE / "devices").glob("*.json")):
        device = json.loads(path.read_text())
        for name in [device["name"], *device.get("aliases", [])]:
            names[name] = device["name"]
    return names


def size_class(devices):
    for low, high in SIZES:
        if devices >= low and (high is None or devices <= high):
            return low, high
    raise ValueError(f"{devices} devices")


def quantile(values, part):
    """The smallest value that is not below `part` of them."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def errors(runs, held_out):
    """Absolute errors by GPU type and class of sizes."""
    with open(runs, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(held_out) as file:
        found = json.load(file)
    groups, names = collections.defaultdict(list), device_names()
    for row in rows:
        if row["id"] not in found or "tier=A" not in row["notes"]:
            continue
        gpu = names.get(row["gpu_type"], row["gpu_type"])
        key = gpu, size_class(int(row["gpus_total"]))
        groups[key].append(abs(found[row["id"]]))
    return groups


def memory_errors(runs, validated):
    """(|predicted / measured - 1|, measured / predicted - 1) by GPU type."""
    with open(runs, newline="") as file:
        notes = {row["id"]: row for row in csv.DictReader(file)}
    with open(validated) as file:
        rows = json.load(file)["rows"]
    groups, names = collections.defaultdict(list), device_names()
    for row in rows:
        measured, predicted = row["measured_memory_gb"], row["predicted_memory_gb"]
        source = notes[row["id"]]
        if not measured or not predicted or "tier=E" in source["notes"]:
            continue
        gpu = names.get(source["gpu_type"], source["gpu_type"])
        groups[gpu].append((abs(predicted / measured - 1),
                            measured / predicted - 1))
    return groups


def memory_bands(groups):
    return [{"gpu_type": gpu, "runs": len(pairs),
             "median": round(quantile([error for error, _ in pairs], 0.5), 4),
             "over": max(0, round(quantile([over for _, over in pairs], 0.9), 4))}
            for gpu, pairs in sorted(groups.items()) if len(pairs) >= LEAST]


def bands(groups):
    result = []
    for (gpu, (low, high)), values in sorted(
            groups.items(), key=lambda item: (item[0][0], item[0][1][0])):
        if len(values) < LEAST:
            continue
        band = {"gpu_type": gpu, "devices_from": low, "devices_to": high,
                "runs": len(values),
                "median": round(quantile(values, 0.5), 4),
                "p90": round(quantile(values, 0.9), 4)}
        if high is None:
            del band["devices_to"]
        result.append(band)
    return result


def listed(rows):
    """A JSON array of one row a line."""
    return "[\n    " + ",\n    ".join(map(json.dumps, rows)) + "\n  ]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs")
    parser.add_argument("errors")
    parser.add_argument("validated")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    times = bands(errors(arguments.runs, arguments.errors))
    memory = memory_bands(memory_errors(arguments.runs, arguments.validated))
    text = ('{\n  "format_version": 1,\n  "made_by": "tools/fit/error_bands.py",\n'
            f'  "bands": {listed(times)},\n  "memory_bands": {listed(memory)}\n}}\n')
    if arguments.write:
        DATA.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
