"""Checks the efficiency tables of calibrated cluster files."""
import json
import sys

for path in sys.argv[1:]:
    device = json.load(open(path))["device_types"]["this-host"]
    for name, table in device["efficiency"]["tables"].items():
        times = table["microseconds"]
        axes = [table[axis] for axis in "mnk"]
        peak = table["peak_teraflops"] * 1e6  # operations a microsecond
        for i, m in enumerate(axes[0]):
            for j, n in enumerate(axes[1]):
                for l, k in enumerate(axes[2]):
                    time = times[i][j][l]
                    assert time >= 2 * m * n * k / peak * 0.99, (path, name)
                    for a, b, c in ((i - 1, j, l), (i, j - 1, l), (i, j, l - 1)):
                        assert min(a, b, c) < 0 or times[a][b][c] <= time
