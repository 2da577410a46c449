#!/usr/bin/env python3
"""Fits the execution parameters of the cost model on measured training runs.

usage: fit_parameters.py WHALEC RUNS.csv [--write]
       fit_parameters.py WHALEC RUNS.csv --held-out K [--by families|rows]
                         [--errors FILE]

Gauss-Newton on the logarithms of the parameters. Residuals are
log(predicted / measured) of `whalec validate --json`; their derivatives are
differences of two such runs. What is minimised (measured_fit.py has the parts):

    sum over rows of weight * min(|residual|, 0.5)
        + STIFFNESS * sum over parameters of (log(value / prior) / spread)^2

Half of the weight is equal for all rows and half for all families of runs; rows
of tier E count a quarter. Rows are of tiers A and E; of those that differ in the
number of layers alone the middle one is used, and of large families every n-th,
which stands for those between. A parameter's prior is what it
should be physically and its spread how far off that may be in logarithms; both
stand beside its value (catalogue/execution/parameters.json); where there is no
prior it is not fitted. Deterministic.

--write puts the values into compiler/cluster/catalogue/execution.
--held-out fits K times, each time without a K-th of the families (or rows), and
prints the errors of what was left out: whole minima of the objective, with
derivatives at the shipped values. --errors puts them into a file, by the rows'
ids, for error_bands.py.
"""
import argparse
import csv
import json
import math
import pathlib
import tempfile

import measured_fit as fit

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "compiler/cluster/catalogue/execution/parameters.json"


def render(data):
    """One parameter a line."""
    lines = [f"    {json.dumps(name)}: {json.dumps(parameter)}"
             for name, parameter in data["parameters"].items()]
    return ('{\n  "format_version": 1,\n  "made_by": "tools/fit/fit_parameters.py",'
            '\n  "parameters": {\n' + ",\n".join(lines) + "\n  }\n}\n")


def write(data, values):
    for name, value in values.items():
        data["parameters"][name]["value"] = float(f"{value:.3g}")
    DATA.write_text(render(data))


def print_values(parameters, values):
    for name, value in values.items():
        print(f"  {name:<24} {parameters[name]['value']:>10.4g} -> "
              f"{value:.4g}")


def groups_by_families(rows, count):
    """Families of tier A dealt out by size, so that groups have like sizes."""
    sizes = {}
    for row in rows:
        if fit.tier(row) == "A":
            sizes[fit.family(row)] = sizes.get(fit.family(row), 0) + 1
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    group = {name: i % count for i, name in enumerate(order)}
    return [group.get(fit.family(row)) for row in rows]


def groups_by_rows(rows, count):
    """Every row in the group of its place in its family."""
    seen, groups = {}, []
    for row in rows:
        seen[fit.family(row)] = seen.get(fit.family(row), 0) + 1
        groups.append(seen[fit.family(row)] % count)
    return groups


def held_out(every, parameters, shipped, count, group_of):
    """Residuals of all rows, each by a fit that did not have it; and of the
    shipped values."""
    groups = group_of(every.rows, count)
    some = fit.Runs(every.whalec, *fit.thin(every.rows), every.folder,
                    every.jobs)
    # The model is nearly linear in the logarithms: these serve all fits.
    fitted, derivatives = some.derivatives(shipped, parameters)
    group = {row["id"]: g for row, g in zip(every.rows, groups)}
    errors = [None] * len(every.rows)
    for number in range(count):
        kept = [None if group[row["id"]] == number else error
                for row, error in zip(some.rows, fitted)]
        change = fit.step(some, kept, derivatives, parameters, shipped,
                          fit.ANY_STEP)
        values = fit.moved(parameters, shipped, change, 1)
        left = [i for i, g in enumerate(groups) if g == number]
        others = fit.Runs(every.whalec, [every.rows[i] for i in left],
                          [1] * len(left), every.folder, every.jobs)
        for i, error in zip(left, others.errors(values)):
            errors[i] = error
    return errors, every.errors(shipped)


def print_held_out(rows, held, fitted):
    """Mean absolute errors in percent, of rows of tier A."""
    print(f"{'':<18} {'rows':>5} {'fitted':>8} {'held out':>9}")
    used = [(row, h, f) for row, h, f in zip(rows, held, fitted)
            if h is not None and f is not None and fit.tier(row) == "A"]
    means = []
    for name in sorted({fit.family(row) for row, _, _ in used}):
        members = [(h, f) for row, h, f in used if fit.family(row) == name]
        pair = [fit.mean_percent(c) for c in zip(*members)]
        means.append(pair)
        print(f"  {name:<16} {len(members):>5} {pair[1]:>8.1f} {pair[0]:>9.1f}")
    large = [(h, f) for row, h, f in used if fit.family(row) != "vtrainM"
             and int(row["gpus_total"]) >= 64]
    families = [sum(c) / len(c) for c in zip(*means)]
    for name, pair, n in (
            ("all rows", [fit.mean_percent(c) for c in zip(*[u[1:] for u in used])], len(used)),
            ("64 GPUs or more", [fit.mean_percent(c) for c in zip(*large)], len(large)),
            ("mean of families", families, len(means))):
        print(f"  {name:<16} {n:>5} {pair[1]:>8.1f} {pair[0]:>9.1f}")


def write_errors(path, rows, errors):
    """Relative errors of what has one."""
    path.write_text(json.dumps({row["id"]: math.exp(error) - 1
                                for row, error in zip(rows, errors)
                                if error is not None}, indent=0) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whalec")
    parser.add_argument("runs")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=0, metavar="K")
    parser.add_argument("--by", choices=("families", "rows"),
                        default="families")
    parser.add_argument("--errors", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    data = json.loads(DATA.read_text())
    parameters = data["parameters"]
    shipped = {name: p["value"] for name, p in parameters.items()}
    with open(options.runs, newline="") as file:
        rows = [row for row in csv.DictReader(file) if fit.tier(row) in "AE"]
    with tempfile.TemporaryDirectory() as folder:
        if options.held_out:
            every = fit.Runs(options.whalec, rows, [1] * len(rows), folder,
                             options.jobs)
            group_of = (groups_by_families if options.by == "families"
                        else groups_by_rows)
            held, fitted = held_out(every, parameters, shipped,
                                    options.held_out, group_of)
            print_held_out(rows, held, fitted)
            if options.errors:
                write_errors(options.errors, rows, held)
            return
        runs = fit.Runs(options.whalec, *fit.thin(rows), folder, options.jobs)
        values = fit.gauss_newton(runs, parameters, shipped, options.rounds,
                                  report=print)
    print_values(parameters, values)
    if options.write:
        write(data, values)


if __name__ == "__main__":
    main()
