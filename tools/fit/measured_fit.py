"""The parts of fit_parameters.py: measured runs as residuals of parameters, and
the robust Gauss-Newton steps on them. Standard library only."""
import collections
import concurrent.futures
import csv
import json
import math
import pathlib
import re
import subprocess

from least_squares import NormalEquations

# Of a family.
MOST_ROWS = {"A": 300, "E": 30}
# What differs between like rows.
OF_LAYERS = {"id", "layers", "params_b", "measured_value", "mem_gb_per_gpu"}
TIER_WEIGHT = {"A": 1.0, "E": 0.25}
# Residuals beyond this are somebody's mistake or ours, and do not pull.
CAP = 0.5
# Below this a residual counts as a square, above by its size.
FLOOR = 0.015
STIFFNESS = 0.004
# Of the differences, in logarithms: well above the rounding of times.
DIFFERENCE = 0.06
# Steps may not be longer than this, less from round to round.
TRUST, TRUST_SHRINKS = 0.3, 0.6
LEAST_GAIN = 1e-4
# Longer than any.
ANY_STEP = 3


def family(row):
    return row["id"].rsplit("-", 1)[0]


def tier(row):
    found = re.match(r"tier=(\w)", row["notes"])
    return found.group(1) if found else "-"


def like_rows(rows):
    """Lists of rows that differ in the number of layers alone: their times lie on
    a line, so that they say no more than one does."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[tuple(value for column, value in row.items()
                     if column not in OF_LAYERS)].append(row)
    return groups.values()


def thin(rows):
    """The middle ones of like rows, of every family and tier at most MOST_ROWS of
    them, evenly spaced, and for how many each of them stands."""
    members = collections.defaultdict(list)
    for group in like_rows(rows):
        group = sorted(group, key=lambda row: float(row["layers"] or 0))
        row = group[len(group) // 2]
        members[family(row), tier(row)].append(row)
    chosen, counts = [], []
    for (_, of), group in members.items():
        some = group[::-(-len(group) // MOST_ROWS[of])]
        chosen += some
        counts += [len(group) / len(some)] * len(some)
    return chosen, counts


def mean_percent(errors):
    """Mean of |predicted / measured - 1| of logarithms, in percent."""
    return 100 * sum(abs(math.exp(e) - 1) for e in errors) / len(errors)


class Runs:
    """Rows, for how many each stands, and what `whalec` predicts for them."""

    def __init__(self, whalec, rows, counts, folder, jobs):
        self.whalec, self.rows, self.jobs = whalec, rows, jobs
        self.counts = counts
        self.folder = pathlib.Path(folder)
        self.table = self.folder / f"runs-{len(rows)}.csv"
        with open(self.table, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def errors(self, values, name="values"):
        """Residuals; None where nothing is predicted or measured."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(values))
        command = [self.whalec, "validate", "--runs", self.table,
                   "--parameters", path, "--json"]
        output = subprocess.run(command, check=True, capture_output=True,
                                text=True).stdout
        return [math.log(r["predicted_s"] / r["measured_s"])
                if r["predicted_s"] and r["measured_s"] else None
                for r in json.loads(output)["rows"]]

    def derivatives(self, values, parameters):
        """Residuals at `values`, and their changes with each logarithm."""
        steps = {}
        for name in fitted(parameters):
            most = parameters[name].get("at_most", math.inf)
            up = values[name] * math.exp(DIFFERENCE) <= most
            steps[name] = DIFFERENCE if up else -DIFFERENCE
        trials = {name: {**values, name: values[name] * math.exp(step)}
                  for name, step in steps.items()}
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            base = pool.submit(self.errors, values)
            found = {name: pool.submit(self.errors, trial, name)
                     for name, trial in trials.items()}
        errors = base.result()
        columns = [[None if e is None or c is None else (c - e) / steps[name]
                    for c, e in zip(found[name].result(), errors)]
                   for name in steps]
        return errors, [list(row) for row in zip(*columns)]


def fitted(parameters):
    return [name for name, p in parameters.items() if "prior" in p]


def weights(runs, errors):
    total, sizes = 0, collections.Counter()
    for row, count, error in zip(runs.rows, runs.counts, errors):
        if error is not None:
            total += count
            sizes[family(row)] += count
    return [0.0 if e is None else TIER_WEIGHT[tier(row)] / 2 * count *
            (1 / total + 1 / (len(sizes) * sizes[family(row)]))
            for row, count, e in zip(runs.rows, runs.counts, errors)]


def distances(parameters, values):
    """From the priors, in spreads."""
    return [math.log(values[name] / parameters[name]["prior"]) /
            parameters[name]["spread"] for name in fitted(parameters)]


def objective(runs, errors, parameters, values):
    misfit = sum(w * min(abs(e), CAP)
                 for w, e in zip(weights(runs, errors), errors) if w)
    return misfit + STIFFNESS * sum(d * d for d in
                                    distances(parameters, values))


def step(runs, errors, derivatives, parameters, values, trust):
    """The change of the logarithms that the linearised objective asks for, by
    squares that are weighted again and again until they stand for sizes."""
    names = fitted(parameters)
    spreads = [parameters[name]["spread"] for name in names]
    pulls = distances(parameters, values)
    high = [min(trust, math.log(parameters[name].get("at_most", math.inf) /
                                values[name])) for name in names]
    low = [-trust] * len(names)
    used = [(w, e, [(i, d) for i, d in enumerate(row) if d])
            for w, e, row in zip(weights(runs, errors), errors, derivatives)
            if w]
    change = [0.0] * len(names)
    for _ in range(40):
        equations = NormalEquations(len(names))
        for w, e, terms in used:
            left = abs(e + sum(d * change[i] for i, d in terms))
            pull = w / max(left, FLOOR) * (0.3 if left > CAP else 1)
            equations.add(terms, -e, pull)
        for i, spread in enumerate(spreads):
            equations.add([(i, 1 / spread)], -pulls[i], 2 * STIFFNESS)
        last, change = change, equations.solve_bounded(low, high)
        if max(abs(a - b) for a, b in zip(last, change)) < 1e-4:
            break
    return change


def moved(parameters, values, change, length):
    result = dict(values)
    for name, c in zip(fitted(parameters), change):
        most = parameters[name].get("at_most", math.inf)
        # Three digits, as they are shipped.
        result[name] = min(float(f"{values[name] * math.exp(length * c):.3g}"),
                           most)
    return result


def gauss_newton(runs, parameters, values, rounds, report=None):
    """The values after at most so many rounds."""
    trust = TRUST
    for number in range(rounds):
        errors, rows = runs.derivatives(values, parameters)
        best = objective(runs, errors, parameters, values)
        change = step(runs, errors, rows, parameters, values, trust)
        for length in (1, 0.5, 0.25):
            trial = moved(parameters, values, change, length)
            score = objective(runs, runs.errors(trial), parameters, trial)
            if score < best - LEAST_GAIN:
                break
        if report:
            report(f"round {number}: {best:.5f} -> {score:.5f}")
        if score >= best - LEAST_GAIN:
            break
        values = trial
        trust *= TRUST_SHRINKS
    return values
