#!/usr/bin/env python3
"""Fits the execution parameters of the cost model on measured training runs.

usage: fit_parameters.py WHALEC RUNS.csv [--rounds N] [--tries N]
                         [--without FAMILIES] [--write]

Coordinate descent on the logarithm of each parameter: steps that make the
objective smaller are kept, and halved where none does. Then steps of several
parameters at once, in directions from a generator with a fixed seed: parameters
stand in for each other, and a descent along the axes stops in the valleys.
Objective: the mean over
rows plus the mean over families of runs of |log(predicted / measured)|, each
row at most 0.5, of rows of tier A whose step is bound by the devices (tiny
models in deterministic mode, `mlmci`, are left out). Of large families every
n-th row is used, so that one source does not decide. Deterministic.

--write puts the values into compiler/cluster/catalogue/execution.
"""
import argparse
import collections
import csv
import json
import math
import pathlib
import random
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "compiler/cluster/catalogue/execution/parameters.json"
MOST_ROWS = 150
CAP = 0.5
# Shares cannot exceed one, and nothing in a step is faster than benchmarks of it
# alone.
AT_MOST_ONE = {"split_overlap", "gradient_overlap", "launch_shown",
               "matmul_sustained", "memory_sustained", "split_sustained",
               "network_sustained", "attention_forward", "attention_backward",
               "attention_portable", "attention_products",
               "row_scaled_products", "unaligned_products"}
# The objective does not know it: measured memory is looked at for it.
NOT_FITTED = {"allocator_reserved"}


def family(row):
    return row["id"].rsplit("-", 1)[0]


def choose(rows, without):
    """Rows of tier A of other families than `without`, at most MOST_ROWS a family, evenly spaced."""
    families = collections.defaultdict(list)
    for row in rows:
        if "tier=A" in row["notes"] and family(row) not in without:
            families[family(row)].append(row)
    chosen = []
    for members in families.values():
        step = -(-len(members) // MOST_ROWS)
        chosen += members[::step]
    return chosen


class Objective:
    def __init__(self, whalec, rows, folder):
        self.whalec, self.rows, self.folder = whalec, rows, folder
        self.runs = folder / "runs.csv"
        with open(self.runs, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def errors(self, values):
        path = self.folder / "parameters.json"
        path.write_text(json.dumps(values))
        command = [self.whalec, "validate", "--runs", self.runs,
                   "--parameters", path, "--json"]
        output = subprocess.run(command, check=True, capture_output=True,
                                text=True).stdout
        errors = collections.defaultdict(list)
        for row, result in zip(self.rows, json.loads(output)["rows"]):
            if result["predicted_s"] and result["measured_s"]:
                error = math.log(result["predicted_s"] / result["measured_s"])
                errors[family(row)].append(min(abs(error), CAP))
        return errors

    def __call__(self, values):
        errors = self.errors(values)
        every = [e for members in errors.values() for e in members]
        means = [sum(m) / len(m) for m in errors.values()]
        return sum(every) / len(every) + sum(means) / len(means)


def clamp(name, value):
    return min(value, 1.0) if name in AT_MOST_ONE else value


def descend(objective, values, rounds):
    best = objective(values)
    steps = {name: 0.2 for name in values if name not in NOT_FITTED}
    for round_number in range(rounds):
        for name in steps:
            for sign in (1, -1):
                trial = dict(values)
                changed = values[name] * math.exp(sign * steps[name])
                trial[name] = clamp(name, changed)
                if trial[name] == values[name]:
                    continue
                score = objective(trial)
                if score < best - 1e-6:
                    best, values = score, trial
                    steps[name] *= 1.4
                    break
            else:
                steps[name] /= 2
        print(f"round {round_number}: {best:.5f}", flush=True)
        for name, value in values.items():
            print(f"  {name} {value:.4g}", flush=True)
    return values


def wander(objective, values, tries):
    """Steps of a few parameters at once, longer after one that helped."""
    generator = random.Random(1)
    best, length = objective(values), 0.06
    names = [name for name in values if name not in NOT_FITTED]
    for number in range(tries):
        trial = dict(values)
        for name in generator.sample(names, generator.choice((2, 3, 5, 8))):
            changed = values[name] * math.exp(generator.gauss(0, length))
            trial[name] = clamp(name, changed)
        score = objective(trial)
        if score < best - 1e-7:
            best, values, length = score, trial, min(length * 1.3, 0.25)
        else:
            length = max(length * 0.97, 0.01)
        if number % 20 == 19:
            print(f"try {number}: {best:.5f}", flush=True)
    return values


def render(data):
    """One parameter a line."""
    lines = [f"    {json.dumps(name)}: {json.dumps(parameter)}"
             for name, parameter in data["parameters"].items()]
    return ('{\n  "format_version": 1,\n  "made_by": "tools/fit/fit_parameters.py",'
            '\n  "parameters": {\n' + ",\n".join(lines) + "\n  }\n}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("whalec")
    parser.add_argument("runs")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--without", default="",
                        help="families to leave out, with commas between")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    data = json.loads(DATA.read_text())
    values = {k: p["value"] for k, p in data["parameters"].items()}
    with open(options.runs, newline="") as file:
        without = {"mlmci", *options.without.split(",")}
        rows = choose(list(csv.DictReader(file)), without)
    with tempfile.TemporaryDirectory() as folder:
        objective = Objective(options.whalec, rows, pathlib.Path(folder))
        values = descend(objective, values, options.rounds)
        values = wander(objective, values, options.tries)
    if options.write:
        for name, value in values.items():
            data["parameters"][name]["value"] = float(f"{value:.3g}")
        DATA.write_text(render(data))


if __name__ == "__main__":
    main()
