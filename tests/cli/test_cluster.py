"""`fastloss fit` on workers."""

import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

N = 20_000

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 3))
    y = X @ [1.0, 2.0, 3.0] + 5 + rng.standard_normal(N)
    y[::10] += 50
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": y, "c": X[:, 2]})
    for part in range(2):
        pq.write_table(table.slice(part * N // 2, N // 2), tmp_path / f"{part}.parquet")
    return tmp_path


def same(found, expected):
    assert found.code == 0
    found, expected = found.model, expected.model
    for name in ("coefficients", "fun", "scale"):
        assert found.pop(name) == pytest.approx(expected.pop(name), rel=1e-6)
    assert found == expected


def test_workers_of_this_machine_and_a_running_cluster_give_what_one_process_gives(run, folder):
    from distributed import LocalCluster

    options = [folder, "--target", "y", "--features", "c,a", "--json"]
    expected = run("fit", *options)
    same(run("fit", *options, "--workers", 1), expected)
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        same(run("fit", *options, "--scheduler", cluster.scheduler_address), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "1", "--drop-missing"], "--drop-missing needs the columns in memory"),
        (["--workers", "1", "--features", "q"], "no column 'q'"),
        (["--workers", "0"], "must be a whole number of at least 1, got '0'"),
        (["--workers", "x"], "must be a whole number of at least 1, got 'x'"),
        (["--scheduler", "nonsense://somewhere"], "no scheduler answers at nonsense://somewhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(refused, folder, options, words):
    assert words in refused("fit", folder, "--target", "y", *options)


@pytest.mark.parametrize("address", ["nonsense://somewhere", "tcp://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_not_left_in_force(refused, folder, address):
    dask = pytest.importorskip("dask")
    refused("fit", folder, "--target", "y", "--scheduler", address)
    assert dask.config.get("scheduler", None) is None


def test_a_row_that_is_not_finite_is_named_as_without_workers(refused, folder):
    table = pq.read_table(folder / "1.parquet")
    c = table["c"].to_numpy().copy()
    c[17] = np.nan
    pq.write_table(table.set_column(3, "c", [c]), folder / "1.parquet")
    said = refused("fit", folder, "--target", "y", "--workers", "1")
    assert re.search(r"first in row 10018 \(row 18 in .*1\.parquet\), column 'c': leave", said)


def test_a_cluster_reads_parquet_alone(refused, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,y\n1,2\n")
    assert "reads Parquet" in refused("fit", path, "--target", "y", "--workers", "1")


def test_without_dask(refused, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refused("fit", folder, "--target", "y", "--workers", "1")
    assert "pip install 'fastloss[cli,dask]'" in said
