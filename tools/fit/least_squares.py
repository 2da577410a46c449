"""Small dense least squares, standard library only."""


def solve(matrix, right):
    """x with matrix * x = right, by Gaussian elimination with pivoting."""
    n = len(right)
    rows = [list(row) + [value] for row, value in zip(matrix, right)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(i + 1, n):
            factor = rows[r][i] / rows[i][i]
            if factor:
                for c in range(i, n + 1):
                    rows[r][c] -= factor * rows[i][c]
    x = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][c] * x[c] for c in range(i + 1, n))
        x[i] = (rows[i][n] - known) / rows[i][i]
    return x


def solve_bounded(matrix, right, low, high):
    """The same with low <= x <= high: what would leave its bounds is held there
    and the others are solved again, until none leaves."""
    n = len(right)
    free = list(range(n))
    x = solve(matrix, right)
    while True:
        leaving = {i for i in free if not low[i] <= x[i] <= high[i]}
        if not leaving:
            return x
        for i in leaving:
            x[i] = min(max(x[i], low[i]), high[i])
        free = [i for i in free if i not in leaving]
        if not free:
            return x
        held = [i for i in range(n) if i not in free]
        rest = [right[i] - sum(matrix[i][j] * x[j] for j in held)
                for i in free]
        inner = solve([[matrix[i][j] for j in free] for i in free], rest)
        for i, value in zip(free, inner):
            x[i] = value


class NormalEquations:
    """Collects sparse equations sum(weight * x[index]) = value."""

    def __init__(self, unknowns):
        self.matrix = [[0.0] * unknowns for _ in range(unknowns)]
        self.right = [0.0] * unknowns

    def add(self, terms, value, importance=1.0):
        for i, wi in terms:
            self.right[i] += importance * wi * value
            row, scaled = self.matrix[i], importance * wi
            for j, wj in terms:
                row[j] += scaled * wj

    def solve(self):
        return solve(self.matrix, self.right)

    def solve_bounded(self, low, high):
        return solve_bounded(self.matrix, self.right, low, high)


def summary(errors):
    """Mean and 90th percentile, rounded for a data file."""
    errors = sorted(errors)
    return {
        "mean": round(sum(errors) / len(errors), 3),
        "p90": round(errors[int(0.9 * (len(errors) - 1))], 3),
    }
