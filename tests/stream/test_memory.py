"""A fit of a file that is larger than the memory limit stays within it."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

N, P = 2_500_000, 16
LIMITS = {"map": 40_000_000, "zarr": 40_000_000, "parquet": 100_000_000, "wide": 200_000_000}

# The peak is taken by a thread, as the system's own would count what went before.
MEASURE = """
import sys, threading, time
import numpy as np, zarr, pyarrow.parquet
import fastloss as fl

def resident():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return sum(int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))

def fit(limit):
    kind, path = sys.argv[1:3]
    if kind in ("parquet", "wide"):
        return fl.fit(path, "y", memory_limit=limit)
    X = np.load(path, mmap_mode="r") if kind == "map" else zarr.open_array(path, mode="r")
    return fl.fit(X, np.load(sys.argv[3], mmap_mode="r"), memory_limit=limit)

fit(10**7)  # compiled by now
before, peak, done = resident(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, resident())

thread = threading.Thread(target=watch)
thread.start()
result = fit(int(sys.argv[4]))
done.set()
thread.join()
assert result.success
print(peak - before)
"""

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", LIMITS)
def test_the_limit_is_kept(tmp_path, kind):
    shape = (100_000, 600) if kind == "wide" else (N, P)
    X = np.random.default_rng(0).standard_normal(shape, np.float32)
    y = X.sum(axis=1)
    y[::10] += 50
    np.save(tmp_path / "y.npy", y)
    path = tmp_path / "data"
    if kind == "map":
        path = tmp_path / "data.npy"
        np.save(path, X)
    elif kind == "zarr":
        zarr.create_array(path, shape=X.shape, dtype=X.dtype, chunks=(20_000, P))[...] = X
    else:
        pq.write_table(pa.table({**{f"x{j}": X[:, j] for j in range(shape[1])}, "y": y}), path)
    limit = LIMITS[kind]
    arguments = [kind, str(path), str(tmp_path / "y.npy"), str(limit)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < limit < X.nbytes
