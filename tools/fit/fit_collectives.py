#!/usr/bin/env python3
"""Fits collective times within one node.

    fit_collectives.py collectives.csv compiler/cluster/catalogue/collectives

Per collective and group size: time = latency + root * sqrt(bytes) +
bytes / bandwidth, no coefficient negative, minimising squared relative error.
The root term stands for the change of protocol and of channel count with the
size; without it the error is two to three times as large. `bytes` is
nccl-tests' size: the whole buffer (for all_gather the gathered one, for
reduce_scatter the one before).
"""

import collections
import csv
import json
import math
import os
import sys

from least_squares import NormalEquations, summary

# (gpu_type column, part of the source column) -> fit name
NAMES = {
    ("A100-SXM-80", "aiconfigurator"): "dgx-a100",
    ("H100-SXM-80", "aiconfigurator"): "dgx-h100",
    ("H200", "aiconfigurator"): "dgx-h200",
    ("B200", "aiconfigurator"): "dgx-b200",
    ("B300", "aiconfigurator"): "dgx-b300",
    ("GB200", "aiconfigurator"): "gb200-nvl72",
    ("GB300", "aiconfigurator"): "gb300-nvl72",
    ("V100-32", "vTrain"): "dgx-1-v100",
    ("RTXPRO6000", "aiconfigurator"): "rtx-pro-6000-8",
}
# Where the same source has them measured with the same GPU.
SEND_RECEIVE = {"A100-SXM-80": "dgx-a100", "H100-SXM-80": "dgx-h100"}
BASIS = [lambda s: 1.0, math.sqrt, lambda s: s]


def fit(rows):
    """Coefficients >= 0: negative ones are left out, most negative first."""
    used = [0, 1, 2]
    while True:
        equations = NormalEquations(len(used))
        for size, time in rows:
            equations.add([(i, BASIS[b](size) / time)
                           for i, b in enumerate(used)], 1.0)
        x = equations.solve()
        worst = min(range(len(used)), key=lambda i: x[i])
        if x[worst] >= 0:
            result = [0.0, 0.0, 0.0]
            for i, b in enumerate(used):
                result[b] = x[i]
            return result
        del used[worst]


def significant(value):
    return float("%.4g" % value)


def describe(collective, ranks, rows):
    x = fit(rows)
    error = [abs(sum(c * f(s) for c, f in zip(x, BASIS)) / t - 1)
             for s, t in rows]
    return {
        "collective": collective.replace("alltoall", "all_to_all"),
        "ranks": ranks,
        "latency_microseconds": significant(x[0]),
        "microseconds_per_root_byte": significant(x[1]),
        "bandwidth_gigabytes_per_second": significant(1e-3 / x[2]),
        "rows": len(rows),
        "error": summary(error),
    }


def main(table, folder):
    groups = collections.defaultdict(list)
    sources = {}
    with open(table, newline="") as stream:
        for r in csv.DictReader(stream):
            if r["num_gpus"] != r["gpus_per_node_used"]:
                continue
            for (gpu, part), name in NAMES.items():
                if r["gpu_type"] == gpu and part in r["source"]:
                    sources.setdefault(name, r["source"].rsplit("/", 1)[0])
                elif not (r["op"] == "send_recv" and "_dgx" in r["source"]
                          and r["gpu_type"] == gpu
                          and SEND_RECEIVE.get(gpu) == name):
                    continue
                groups[name, r["op"], int(r["num_gpus"])].append(
                    (float(r["size_bytes"]), float(r["time_us"])))
    for name in sorted(sources):
        fits = [describe(op, ranks, rows)
                for (of, op, ranks), rows in sorted(groups.items())
                if of == name]
        source = sources[name]
        if any(f["collective"] == "send_recv" for f in fits):
            source += "; send_recv: microsoft/vidur data/profiling/network"
        lines = ",\n".join("    " + json.dumps(f) for f in fits)
        with open(os.path.join(folder, name + ".json"), "w") as stream:
            stream.write('{\n  "format_version": 1,\n  "name": %s,\n'
                         '  "made_by": "tools/fit/fit_collectives.py",\n'
                         '  "source": %s,\n  "fits": [\n%s\n  ]\n}\n'
                         % (json.dumps(name), json.dumps(source), lines))
        for f in fits:
            print(name, f["collective"], f["ranks"], f["error"])


if __name__ == "__main__":
    main(*sys.argv[1:])
