#!/usr/bin/env python3
"""Fits the collective model's parameters within one node.

    fit_collectives.py collectives.csv compiler/cluster/catalogue/collectives

One fit per collective, algorithm and protocol (compiler/cluster/Collectives.h):

    time = start + step * steps(p) + root * sqrt(n)
         + n * (moved(p) / wire + 1 / local)

`n` is nccl-tests' size (the whole buffer), p the number of GPUs. For a ring
steps = moved * p = 2(p - 1) of an all_reduce and p - 1 of all others; NVLink
SHARP takes one step and moves (p + 1) / p; a send moves n. No wire is faster
than the data sheet's link. `root` stands for the channels that NCCL adds with
the size.

Which protocol a row was measured with is not recorded: NCCL takes the one that
it thinks is fastest. So each row belongs to the fit that gives the least time,
and rows and fits are improved in turns, from several first cuts by size. The
error is that of the least time.
"""

import collections
import csv
import itertools
import json
import math
import os
import sys

from least_squares import NormalEquations, summary

# (gpu_type column, part of the source column) -> name, link and what is fitted.
NvLink, Pcie = "nvlink", "pcie"
NODES = {
    ("A100-SXM-80", "aiconfigurator"): ("dgx-a100", NvLink, 300),
    ("H100-SXM-80", "aiconfigurator"): ("dgx-h100", NvLink, 450),
    ("H200", "aiconfigurator"): ("dgx-h200", NvLink, 450),
    ("B200", "aiconfigurator"): ("dgx-b200", NvLink, 900),
    ("B300", "aiconfigurator"): ("dgx-b300", NvLink, 900),
    ("GB200", "aiconfigurator"): ("gb200-nvl72", NvLink, 900),
    ("GB300", "aiconfigurator"): ("gb300-nvl72", NvLink, 900),
    ("V100-32", "vTrain"): ("dgx-1-v100", NvLink, 150),
    ("RTXPRO6000", "aiconfigurator"): ("rtx-pro-6000-8", Pcie, 50),
}
LATENCY = {NvLink: 3.0, Pcie: 8.0}
# Where vidur has measured the same GPU.
SEND_RECEIVE = {"A100-SXM-80": "dgx-a100", "H100-SXM-80": "dgx-h100"}
# In-switch reduction; a tray of 4 does not show it, so that the racks take it
# from the node of 8 with the same switches.
NVLS = {"dgx-h100", "dgx-h200", "dgx-b200", "dgx-b300"}
BORROWS_NVLS = {"gb200-nvl72": "dgx-b200", "gb300-nvl72": "dgx-b200"}
# The GPUs of a hybrid cube mesh have from one to six links to each other: each
# group size is a case of its own.
PER_RANKS = {"dgx-1-v100"}
# LL128 needs stores of 128 bytes that arrive whole: NVLink only.
PROTOCOLS = {NvLink: ["ll", "ll128", "simple"], Pcie: ["ll", "simple"]}
CUTS = [2 ** e for e in (14, 16, 18, 20, 21, 22, 24)]
# Microseconds: no step of a ring is faster than NCCL's fastest (its tuning
# model's LL over NVLink), or long rings, which were not measured, would be free.
LEAST_STEP = 0.6
START, STEP, ROOT, WIRE, LOCAL = range(5)


def features(op, algorithm, ranks, size):
    rounds = 2 if op == "all_reduce" else 1
    steps, moved = rounds * (ranks - 1), rounds * (ranks - 1) / ranks
    if algorithm == "nvls":
        steps, moved = 1, (ranks + 1) / ranks
    if op == "send_recv":
        steps, moved = 1, 1.0
    return [1.0, steps, math.sqrt(size), moved * size, size]


def time_of(x, f):
    return sum(a * b for a, b in zip(x, f))


def weighted(rows, used, floor, weights):
    equations = NormalEquations(len(used))
    for (f, time), weight in zip(rows, weights):
        known = sum(a * b for a, b in zip(floor, f))
        equations.add([(i, f[u] / time) for i, u in enumerate(used)],
                      1 - known / time, weight)
    # Rows of one group size do not tell `step` from `start`.
    for i in range(len(used)):
        equations.matrix[i][i] *= 1 + 1e-7
    return equations.solve()


def bounded(rows, used, floor, weights):
    """Least squares of the relative error, no unknown below its floor."""
    used = list(used)
    x = []
    while used:
        x = weighted(rows, used, floor, weights)
        worst = min(range(len(used)), key=lambda i: x[i])
        if x[worst] >= 0:
            break
        del used[worst]
    result = list(floor)
    for i, u in enumerate(used):
        result[u] += x[i]
    return result


def fit(rows, used, floor):
    """Close to the least mean relative error, by reweighting."""
    weights = [1.0] * len(rows)
    for _ in range(4):
        x = bounded(rows, used, floor, weights)
        weights = [1 / max(abs(time_of(x, f) / t - 1), 0.02)
                   for f, t in rows]
    return x


class Piecewise:
    """The least of several fits, one for each (algorithm, protocol)."""

    def __init__(self, op, kinds, rows, link, per_ranks):
        self.op, self.kinds, self.rows = op, kinds, rows
        self.features = [[features(op, a, p, n) for a, _ in kinds]
                         for p, n, _ in rows]
        self.used, self.floors = [], []
        for algorithm, _ in kinds:
            used = [START, STEP, ROOT, WIRE, LOCAL]
            # One group size tells neither steps nor wire from the rest.
            if per_ranks:
                used = [START, ROOT, LOCAL]
            elif op == "send_recv" or algorithm == "nvls":
                used = [START, ROOT, WIRE]
            floor = [0.0] * 5
            if STEP in used and algorithm == "ring":
                floor[STEP] = LEAST_STEP
            if WIRE in used:
                floor[WIRE] = 1e-3 / link  # microseconds per byte
            self.used.append(used)
            self.floors.append(floor)

    def improve(self, owners):
        """Fits of the owners' rows, and their mean error over all rows."""
        fits = []
        for k in range(len(self.kinds)):
            own = [(self.features[i][k], self.rows[i][2])
                   for i, owner in enumerate(owners) if owner == k]
            fits.append(fit(own, self.used[k], self.floors[k])
                        if len(own) >= len(self.used[k]) else None)
        if not any(fits):
            return None
        best, error = [], 0.0
        for i, (_, _, time) in enumerate(self.rows):
            times = [time_of(x, f) if x else math.inf
                     for x, f in zip(fits, self.features[i])]
            best.append(min(range(len(times)), key=lambda k: times[k]))
            error += abs(min(times) / time - 1)
        return error / len(self.rows), fits, best

    def starts(self):
        protocols = len([k for k in self.kinds if k[0] != "nvls"])
        for cuts in itertools.combinations(CUTS, protocols - 1):
            owners = [sum(n > cut for cut in cuts) for _, n, _ in self.rows]
            if protocols == len(self.kinds):
                yield owners
                continue
            for cut in CUTS[-4:]:
                yield [protocols if p == 8 and n >= cut else owner
                       for (p, n, _), owner in zip(self.rows, owners)]

    def solve(self):
        best = None
        for owners in self.starts():
            for _ in range(12):
                found = self.improve(owners)
                if not found:
                    break
                if not best or found[0] < best[0]:
                    best = found
                if found[2] == owners:
                    break
                owners = found[2]
        return best[1]

    def errors(self, fits):
        for i, (p, n, time) in enumerate(self.rows):
            least = min(time_of(x, f) for x, f in
                        zip(fits, self.features[i]) if x)
            yield p, abs(least / time - 1)


def significant(value):
    return float("%.4g" % value)


def describe(op, kind, x, ranks):
    entry = {"collective": op, "algorithm": kind[0], "protocol": kind[1]}
    if ranks:
        entry["ranks"] = ranks
    entry["start_microseconds"] = significant(x[0])
    entry["step_microseconds"] = significant(x[1])
    entry["microseconds_per_root_byte"] = significant(x[2])
    for name, value in (("wire", x[3]), ("local", x[4])):
        if value > 0:
            entry[name + "_gigabytes_per_second"] = significant(1e-3 / value)
    return entry


def kinds_of(name, op, link):
    if op == "send_recv":
        return [("direct", "ll"), ("direct", "simple")]
    algorithm = "direct" if op == "all_to_all" else "ring"
    kinds = [(algorithm, protocol) for protocol in PROTOCOLS[link]]
    if name in PER_RANKS:
        kinds = [(algorithm, "simple")]
    if op == "all_reduce" and name in NVLS:
        kinds.append(("nvls", "simple"))
    return kinds


def fit_node(name, link, bandwidth, rows):
    """(fits, errors) of one node type; rows by (collective)."""
    fits, errors = [], []
    for op in sorted(rows):
        kinds = kinds_of(name, op, link)
        groups = [(None, rows[op])]
        if name in PER_RANKS:
            groups = [(p, [r for r in rows[op] if r[0] == p])
                      for p in sorted({r[0] for r in rows[op]})]
        found = collections.defaultdict(list)
        for ranks, part in groups:
            model = Piecewise(op, kinds, part, bandwidth, ranks)
            solved = model.solve()
            fits += [describe(op, kind, x, ranks)
                     for kind, x in zip(kinds, solved) if x]
            for p, error in model.errors(solved):
                found[p].append(error)
        for p in sorted(found):
            errors.append({"collective": op, "ranks": p,
                           "rows": len(found[p]), **summary(found[p])})
    return fits, errors


def halves(fits):
    """A ring all-reduce is a reduce-scatter and an all-gather."""
    for op in ("all_gather", "reduce_scatter"):
        for fit in fits:
            half = dict(fit, collective=op)
            for key in half:
                if "microseconds" in key:
                    half[key] = significant(half[key] / 2)
                elif "per_second" in key:
                    half[key] = significant(half[key] * 2)
            yield half


def read(table):
    rows = collections.defaultdict(lambda: collections.defaultdict(list))
    sources = {}
    with open(table, newline="") as stream:
        for r in csv.DictReader(stream):
            if r["num_gpus"] != r["gpus_per_node_used"]:
                continue
            name = None
            for (gpu, part), (of, _, _) in NODES.items():
                if r["gpu_type"] == gpu and part in r["source"]:
                    name = of
                    sources.setdefault(name, r["source"].rsplit("/", 1)[0])
            if r["op"] == "send_recv" and "_dgx" in r["source"]:
                name = SEND_RECEIVE.get(r["gpu_type"])
            if name:
                op = r["op"].replace("alltoall", "all_to_all")
                rows[name][op].append((int(r["num_gpus"]),
                                       float(r["size_bytes"]),
                                       float(r["time_us"])))
    return rows, sources


def write(path, name, link, bandwidth, source, fits, errors):
    def lines(values):
        return ",\n".join("    " + json.dumps(v) for v in values)
    with open(path, "w") as stream:
        stream.write(
            '{\n  "format_version": 1,\n  "name": %s,\n'
            '  "made_by": "tools/fit/fit_collectives.py",\n'
            '  "source": %s,\n'
            '  "link": {"level": %s, "bandwidth_gigabytes_per_second": %s, '
            '"latency_microseconds": %s},\n'
            '  "errors": [\n%s\n  ],\n  "fits": [\n%s\n  ]\n}\n'
            % (json.dumps(name), json.dumps(source), json.dumps(link),
               bandwidth, LATENCY[link], lines(errors), lines(fits)))


def main(table, folder):
    rows, sources = read(table)
    solved = {}
    for name, link, bandwidth in NODES.values():
        fits, errors = fit_node(name, link, bandwidth, rows[name])
        source = sources[name]
        if "send_recv" in rows[name]:
            source += "; send_recv: microsoft/vidur data/profiling/network"
        if name in PER_RANKS:
            fits += list(halves(fits))
            source += ("; all_gather and reduce_scatter were not measured: "
                       "half an all_reduce")
        if name in BORROWS_NVLS:
            of = BORROWS_NVLS[name]
            fits += [f for f in solved[of] if f["algorithm"] == "nvls"]
            source += ", 2 and 4 GPUs of a tray; nvls: as measured on " + of
        solved[name] = fits
        write(os.path.join(folder, name + ".json"), name, link, bandwidth,
              source, fits, errors)
        for e in errors:
            print(name, e["collective"], e["ranks"], e["mean"], e["p90"])


if __name__ == "__main__":
    main(*sys.argv[1:])
