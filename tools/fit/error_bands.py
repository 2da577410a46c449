#!/usr/bin/env python3
"""Makes the error bands that `whalec plan --explain` prints.

usage: error_bands.py WHALEC RUNS.csv [--write]

Predicts each run of the table (`whalec validate --json`) and prints, by GPU
type and class of sizes, how many runs there are and the median and the 90th
percentile of |predicted / measured - 1|. Runs of tier A only, where step times
are printed by those who ran them; fewer than LEAST runs make no band. --write
puts the result into compiler/cluster/catalogue/execution.
"""
import argparse
import collections
import csv
import json
import math
import pathlib
import subprocess

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


def errors(whalec, runs):
    with open(runs, newline="") as file:
        rows = list(csv.DictReader(file))
    done = subprocess.run([whalec, "validate", "--runs", runs, "--json"],
                          check=True, capture_output=True, text=True)
    groups, names = collections.defaultdict(list), device_names()
    for row, outcome in zip(rows, json.loads(done.stdout)["rows"]):
        if not outcome["supported"] or "tier=A" not in row["notes"]:
            continue
        measured, predicted = outcome["measured_s"], outcome["predicted_s"]
        if not measured or not predicted or not row["gpus_total"]:
            continue
        gpu = names.get(row["gpu_type"], row["gpu_type"])
        key = gpu, size_class(int(row["gpus_total"]))
        groups[key].append(abs(predicted / measured - 1))
    return groups


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whalec")
    parser.add_argument("runs")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found = bands(errors(arguments.whalec, arguments.runs))
    lines = ",\n    ".join(json.dumps(band) for band in found)
    text = ('{\n  "format_version": 1,\n  "made_by": "tools/fit/error_bands.py'
            f'",\n  "bands": [\n    {lines}\n  ]\n}}\n')
    if arguments.write:
        DATA.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
