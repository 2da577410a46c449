#!/usr/bin/env python3
"""Makes tables of matrix product times from measured products.

    fit_gemm.py gemm.csv compiler/cluster/catalogue/efficiency

Input columns: gpu_type, dtype, m, n, k, time_us, tflops, frac_of_dense_peak,
source; for each (gpu_type, dtype) a full grid of m x n x k. Output: one JSON
file per GPU type with, per dtype, the times over that grid, to be interpolated
linearly in each of m, n and k. Time is the thing to interpolate: a product that
fills the device costs a multiple of m*n*k, reading operands of m*k and k*n,
starting a constant, and all of these are linear in each dimension, so that
interpolation reproduces them exactly. What is left are waves of tiles: a device
computes a tile on each of its processors at once, and the last wave takes as
long as a full one. Where taking the time over that of whole waves for the thing
to interpolate makes `held_out_error` much smaller (`waves` in the file; on A100 it
does, newer devices' kernels share the last wave out), the grid is made finer, so
that it shows them.

Times are made monotone in every dimension: a cell is the geometric mean of the
largest time of any product that is not larger and the least of any that is not
smaller.

Below the grid are extrapolations, in the table so that the whole stays
monotone: n of 256 falls from the grid's first value as m does from there to 256
(the transposed product), all else on the line through the first two values, but
no faster than in proportion and never below the shortest measured time.

`error` is that of the table on its own rows; `held_out_error` that on
rows of a value of n or k, in turn each inner one, from the table without it.
Both are over the products of training: all m, and n and k of the grid.
"""

import collections
import csv
import itertools
import json
import math
import os
import sys

from least_squares import summary

NAMES = {
    "A100-SXM-80": "a100-80", "H100-SXM-80": "h100-sxm-80", "H200": "h200",
    "B200": "b200", "B300": "b300", "GB200": "gb200", "GB300": "gb300",
    "L40S": "l40s", "RTXPRO6000": "rtx-pro-6000",
}
DTYPES = {"bfloat16": "bf16", "fp8": "fp8"}
# Values below the measured ones, each from the next larger.
BELOW = ([64], [256, 64], [256, 64])
# Processors of the devices, from the data sheets, and the output tile of their
# libraries' large products, in either orientation.
PROCESSORS = {"a100-80": 108, "h100-sxm-80": 132, "h200": 132, "b200": 148,
              "b300": 148, "gb200": 152, "gb300": 152, "l40s": 142,
              "rtx-pro-6000": 188}
WAVE_TILE = (256, 128)
# A finer grid is larger: it must make the error so much smaller.
WORTH = 0.8
# Values of m and n between measured ones, where waves are to be seen.
FINE = sorted({*range(1024, 4096, 256), *range(4096, 8192, 512),
               *range(8192, 16385, 1024)})
# A dimension below this one costs as much as
# this one: the smallest output tile that GPU libraries use. An assumption.
TILE = 64


def envelope(times, grids, pick, order):
    """pick(cells before and at each cell), walking each axis in `order`."""
    result = dict(times)
    for axis in range(3):
        values = grids[axis][::order]
        for before, at in zip(values, values[1:]):
            for cell in result:
                if cell[axis] == at:
                    other = cell[:axis] + (before,) + cell[axis + 1:]
                    result[cell] = pick(result[cell], result[other])
    return result


def monotone(times, grids):
    upper = envelope(times, grids, max, 1)
    lower = envelope(times, grids, min, -1)
    return {cell: math.sqrt(upper[cell] * lower[cell]) for cell in times}


def transposed(table, grids, n, cell):
    """Time at n below the grid by the fall of m, or None."""
    m, first, k = cell
    if n not in grids[0] or first not in range(grids[0][0], grids[0][-1]):
        return None
    m = min(max(m, grids[1][0]), grids[1][-1])
    m = max(v for v in grids[1] if v <= m)
    above = min(v for v in grids[0] if v >= first)
    below = max(v for v in grids[0] if v <= first)
    part = (first - below) / (above - below) if above > below else 0.0
    at_first = table[below, m, k] * (1 - part) + table[above, m, k] * part
    return table[cell] * table[n, m, k] / at_first


def extended(table, grids):
    """The table and its grids, with what lies below."""
    shortest = min(table.values())
    table, grids = dict(table), [list(g) for g in grids]
    for axis in (1, 0, 2):
        for value in BELOW[axis]:
            first, second = grids[axis][:2]
            measured = dict(table), [list(g) for g in grids]
            for cell in list(measured[0]):
                if cell[axis] != first:
                    continue
                at = cell[:axis] + (value,) + cell[axis + 1:]
                after = cell[:axis] + (second,) + cell[axis + 1:]
                slope = (table[after] - table[cell]) / (second - first)
                time = max(table[cell] - slope * (first - value),
                           table[cell] * value / first)
                if axis == 1:
                    time = transposed(*measured, value, cell) or time
                table[at] = max(time, shortest)
            grids[axis].insert(0, value)
    return envelope(table, grids, min, -1), grids


def wave_area(m, n, processors):
    """Output elements of whole waves."""
    if not processors:
        return m * n
    a, b = WAVE_TILE
    waves = min(math.ceil(math.ceil(m / rows) * math.ceil(n / columns)
                          / processors) for rows, columns in ((a, b), (b, a)))
    return waves * processors * a * b


def per_wave(table, processors):
    """Times over those of whole waves, or as they are."""
    if not processors:
        return dict(table)
    return {(m, n, k): time / wave_area(m, n, processors)
            for (m, n, k), time in table.items()}


def refined(table, grids, processors):
    """The table with lines at FINE in m and n."""
    table, grids = per_wave(table, processors), [list(g) for g in grids]
    for axis in (0, 1):
        measured = list(grids[axis])
        for value in FINE:
            if value in measured or not measured[0] < value < measured[-1]:
                continue
            low = max(v for v in measured if v < value)
            high = min(v for v in measured if v > value)
            part = (value - low) / (high - low)
            for cell in [c for c in table if c[axis] == low]:
                other = cell[:axis] + (high,) + cell[axis + 1:]
                table[cell[:axis] + (value,) + cell[axis + 1:]] = (
                    table[cell] * (1 - part) + table[other] * part)
            grids[axis].append(value)
        grids[axis].sort()
    table = {(m, n, k): time * wave_area(m, n, processors)
             for (m, n, k), time in table.items()}
    return monotone(table, grids), grids


def fitted_errors(times, table):
    return [abs(table[cell] / times[cell] - 1) for cell in times]


def held_out_errors(times, grids, processors=0):
    """Each inner value of n and k from its neighbours."""
    for axis in (1, 2):
        grid = grids[axis]
        for low, at, high in zip(grid, grid[1:], grid[2:]):
            part = (at - low) / (high - low)
            rest = {c: t for c, t in times.items() if c[axis] != at}
            kept = list(grids)
            kept[axis] = [v for v in grid if v != at]
            table = per_wave(monotone(rest, kept), processors)
            for cell, time in times.items():
                if cell[axis] == at:
                    a = cell[:axis] + (low,) + cell[axis + 1:]
                    b = cell[:axis] + (high,) + cell[axis + 1:]
                    guess = table[a] * (1 - part) + table[b] * part
                    if processors:
                        guess *= wave_area(cell[0], cell[1], processors)
                    yield abs(guess / time - 1)


def fit_dtype(times, peak, source, processors):
    grids = [sorted({cell[axis] for cell in times}) for axis in range(3)]
    assert len(times) == len(grids[0]) * len(grids[1]) * len(grids[2])
    table = monotone(times, grids)
    held_out = summary(held_out_errors(times, grids))
    in_waves = summary(held_out_errors(times, grids, processors))
    waves = in_waves["mean"] < WORTH * held_out["mean"]
    if waves:
        held_out = in_waves
        table, grids = refined(table, grids, processors)
    error = summary(fitted_errors(times, table))
    table, grids = extended(table, grids)
    return {
        "source": source,
        "waves": waves,
        "rows": len(times),
        "peak_teraflops": peak,
        "error": error,
        "held_out_error": held_out,
        "m": grids[0], "n": grids[1], "k": grids[2],
        "microseconds": [[[float("%.4g" % table[m, n, k]) for k in grids[2]]
                          for n in grids[1]] for m in grids[0]],
    }


def dumps(value, indent=""):
    """JSON with arrays and objects of numbers on one line."""
    inner = indent + "  "
    members = (value.items() if isinstance(value, dict)
               else zip(itertools.repeat(None), value)
               if isinstance(value, list) else ())
    if not any(isinstance(v, (dict, list)) for _, v in members) and (
            not isinstance(value, dict) or not any(
                isinstance(v, str) for v in value.values())):
        return json.dumps(value)
    if isinstance(value, list):
        return "[\n%s\n%s]" % (
            ",\n".join(inner + dumps(v, inner) for v in value), indent)
    return "{\n%s\n%s}" % (
        ",\n".join("%s%s: %s" % (inner, json.dumps(k), dumps(v, inner))
                   for k, v in value.items()), indent)


def read(table):
    times = collections.defaultdict(dict)
    peaks, sources = collections.defaultdict(list), {}
    with open(table, newline="") as stream:
        for r in csv.DictReader(stream):
            key = (r["gpu_type"], r["dtype"])
            cell = (int(r["m"]), int(r["n"]), int(r["k"]))
            times[key][cell] = float(r["time_us"])
            if float(r["frac_of_dense_peak"]) > 0.4:
                peaks[key].append(float(r["tflops"])
                                  / float(r["frac_of_dense_peak"]))
            sources[key] = r["source"]
    return times, peaks, sources


def main(table, folder):
    times, peaks, sources = read(table)
    for gpu, name in NAMES.items():
        tables = {}
        for dtype, short in DTYPES.items():
            key = (gpu, dtype)
            if key not in times:
                continue
            peak = round(sorted(peaks[key])[len(peaks[key]) // 2])
            source = ("ai-dynamo/aiconfigurator " + sources[key][4:]
                      + ", forward linear layers of an inference stack")
            if short == "fp8":
                source += "; seems to include quantising the activations"
            tables[short] = fit_dtype(times[key], peak, source,
                                      PROCESSORS[name])
            print(name, short, tables[short]["rows"], "rows, error",
                  tables[short]["error"], "held out",
                  tables[short]["held_out_error"])
        with open(os.path.join(folder, name + ".json"), "w") as stream:
            stream.write(dumps({
                "format_version": 1,
                "type": name,
                "made_by": "tools/fit/fit_gemm.py",
                "tile": TILE,
                "tables": tables,
            }) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
