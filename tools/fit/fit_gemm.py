#!/usr/bin/env python3
"""Fits matmul efficiency tables from measured matrix products.

    fit_gemm.py gemm.csv compiler/cluster/catalogue/efficiency

Input columns: gpu_type, dtype, m, n, k, time_us, tflops, frac_of_dense_peak,
source. Output: one JSON file per GPU type with, per dtype, a table of
efficiency = ideal time / measured time over (smallest of m, n, k) x
(2*m*n*k FLOPs), to be interpolated linearly in both (not in their logarithms:
the compiler's answer must not depend on a math library). The fit minimises
the squared relative error of the time, with a light smoothing that also fills
cells without data. `held_out_error` is the relative error of the time on every
second row, from a fit on the others; the shipped table is fitted on all rows.
"""

import collections
import csv
import json
import os
import sys

from least_squares import NormalEquations, summary

NAMES = {
    "A100-SXM-80": "a100-80", "H100-SXM-80": "h100-sxm-80", "H200": "h200",
    "B200": "b200", "B300": "b300", "GB200": "gb200", "GB300": "gb300",
    "L40S": "l40s", "RTXPRO6000": "rtx-pro-6000",
}
DTYPES = {"bfloat16": "bf16", "fp8": "fp8"}
DIMENSIONS = [256, 512, 1024, 2048, 4096, 8192]
SMOOTHING = 0.02
# Nothing below 256 was measured. A dimension below this one costs as much as
# this one: the smallest output tile that GPU libraries use. An assumption.
TILE = 64


def locate(x, grid):
    """Interval of the grid and position in it, clamped."""
    x = min(max(x, grid[0]), grid[-1])
    i = 0
    while i < len(grid) - 2 and x >= grid[i + 1]:
        i += 1
    return i, (x - grid[i]) / (grid[i + 1] - grid[i])


def terms(row, flop_grid):
    i, f = locate(min(row[:3]), DIMENSIONS)
    j, g = locate(2.0 * row[0] * row[1] * row[2], flop_grid)
    w = len(flop_grid)
    return [(i * w + j, (1 - f) * (1 - g)), (i * w + j + 1, (1 - f) * g),
            ((i + 1) * w + j, f * (1 - g)), ((i + 1) * w + j + 1, f * g)]


def ideal_us(row, peak):
    return 2.0 * row[0] * row[1] * row[2] / peak / 1e6


def fit(rows, peak, flop_grid):
    width = len(flop_grid)
    equations = NormalEquations(len(DIMENSIONS) * width)
    for row in rows:
        measured = ideal_us(row, peak) / row[3]
        equations.add([(i, weight / measured)
                       for i, weight in terms(row, flop_grid)], 1.0)
    for i in range(len(DIMENSIONS)):
        for j in range(width):
            at = i * width + j
            if j + 1 < width:
                equations.add([(at, 1.0), (at + 1, -1.0)], 0.0, SMOOTHING)
            if i + 1 < len(DIMENSIONS):
                equations.add([(at, 1.0), (at + width, -1.0)], 0.0, SMOOTHING)
    return equations.solve()


def errors(rows, peak, flop_grid, table):
    for row in rows:
        efficiency = sum(table[i] * w for i, w in terms(row, flop_grid))
        yield abs(ideal_us(row, peak) / efficiency / row[3] - 1)


def fit_dtype(rows, peak, source):
    # Powers of four from below the smallest product to the largest.
    flops = [2.0 * r[0] * r[1] * r[2] for r in rows]
    exponent = 28
    flop_grid = []
    while not flop_grid or flop_grid[-1] < max(flops):
        flop_grid.append(2 ** exponent)
        exponent += 2
    held_out = fit(rows[::2], peak, flop_grid)
    table = fit(rows, peak, flop_grid)
    width = len(flop_grid)
    rounded = [round(min(max(x, 0.005), 1.0), 3) for x in table]
    return {
        "source": source,
        "rows": len(rows),
        "peak_teraflops": peak,
        "held_out_error": summary(errors(rows[1::2], peak, flop_grid,
                                         held_out)),
        "minimum_dimension": DIMENSIONS,
        "flops": flop_grid,
        "efficiency": [rounded[i * width:(i + 1) * width]
                       for i in range(len(DIMENSIONS))],
    }


def dumps(value):
    """JSON with one line for each array of numbers."""
    text = json.dumps(value, indent=1)
    out, depth = [], 0
    for line in text.split("\n"):
        stripped = line.strip()
        number = stripped.rstrip(",").replace(".", "", 1).isdigit()
        if number or (depth and stripped.startswith("]")):
            out[-1] += stripped + (" " if number and stripped[-1] == "," else "")
            depth = 1 if number else 0
        else:
            out.append("  " * (len(line) - len(stripped)) + stripped)
    return "\n".join(out) + "\n"


def main(table, folder):
    rows = collections.defaultdict(list)
    peaks, sources = {}, {}
    with open(table, newline="") as stream:
        for r in csv.DictReader(stream):
            key = (r["gpu_type"], r["dtype"])
            rows[key].append((float(r["m"]), float(r["n"]), float(r["k"]),
                              float(r["time_us"])))
            fraction = float(r["frac_of_dense_peak"])
            if fraction > 0.4:
                peaks.setdefault(key, []).append(float(r["tflops"]) / fraction)
            sources[key] = r["source"]
    for gpu, name in NAMES.items():
        document = {
            "format_version": 1,
            "type": name,
            "made_by": "tools/fit/fit_gemm.py",
            "tile": TILE,
            "tables": {},
        }
        for dtype, short in DTYPES.items():
            key = (gpu, dtype)
            if key not in rows:
                continue
            peak = round(sorted(peaks[key])[len(peaks[key]) // 2])
            source = ("ai-dynamo/aiconfigurator " + sources[key][4:]
                      + ", forward linear layers of an inference stack")
            if short == "fp8":
                source += "; seems to include quantising the activations"
            document["tables"][short] = fit_dtype(rows[key], peak, source)
            print(name, short, len(rows[key]), "rows, held-out error",
                  document["tables"][short]["held_out_error"])
        with open(os.path.join(folder, name + ".json"), "w") as stream:
            stream.write(dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
