"""`fastloss fit` of files that are larger than the memory limit."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import fastloss
from fastloss.cli import fitting, streamed, values
from fastloss.stream import sources
from fastloss.stream.spilled import Spilled

N, P = 60_000, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, P))
Y = X @ [1.0, 2.0, 3.0, 4.0] + 5 + RNG.standard_normal(N)
Y[::10] += 50
SMALL = ["--target", "y", "--memory-limit", "1MB", "--json"]

pytestmark = pytest.mark.slow


def table(**changed):
    return pa.table({**{f"x{j}": X[:, j] for j in range(P)}, "y": Y, **changed})


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(table(), path, row_group_size=10_000)
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    for i, low in enumerate(range(0, N, 25_000)):
        pq.write_table(table().slice(low, 25_000), path / f"{i}.parquet")
    return path


def same(model, expected):
    for name in ("fun", "scale", "beta"):
        assert model.pop(name) == pytest.approx(expected.pop(name), rel=1e-9)
    coefficients = expected.pop("coefficients")
    assert model.pop("coefficients") == pytest.approx(coefficients, rel=1e-7)
    assert model == expected


@pytest.fixture
def whole_files_are_not_read(monkeypatch):
    def read(*_, **__):
        raise AssertionError("the file was read whole")

    return lambda: monkeypatch.setattr("fastloss.cli.tables.read", read)


@pytest.mark.filterwarnings("default:.*written into a temporary file")
@pytest.mark.parametrize("spoilt", [False, True])
def test_columns_too_wide_to_be_read_side_by_side_are_written_elsewhere_once(
    run, parquet, monkeypatch, spoilt
):
    monkeypatch.setattr(sources, "UNTOLD", 0)
    monkeypatch.setattr("fastloss.stream.tiles.AROUND", 0)
    expected = run("fit", parquet, "--target", "y", "--json")
    made, make = [], Spilled.__init__
    monkeypatch.setattr(Spilled, "__init__", lambda *given: made.append(1) or make(*given))
    if spoilt:
        x1 = X[:, 1].copy()
        x1[50_007] = np.nan
        pq.write_table(table(x1=x1), parquet, row_group_size=10_000)
    found = run("fit", parquet, *SMALL)
    assert found.err.startswith("fastloss: warning: 2 MB are written into a temporary file in /")
    assert made == [1]
    if spoilt:
        assert found.code == 2
        assert "row 50008" in found.err
        assert "'x1'" in found.err
    else:
        same(found.model, expected.model)


@pytest.mark.parametrize("beta", [[], ["--beta", "auto"]])
@pytest.mark.parametrize("source", ["parquet", "folder"])
def test_parquet(run, request, whole_files_are_not_read, source, beta):
    path = request.getfixturevalue(source)
    expected = run("fit", path, "--target", "y", "--json", *beta)
    whole_files_are_not_read()
    found = run("fit", path, *SMALL, *beta)
    assert (found.code, found.err) == (0, "")
    same(found.model, expected.model)


def test_chosen_features(run, parquet):
    options = ["--features", "x2,x0", "--no-intercept"]
    found = run("fit", parquet, *SMALL, *options).model
    assert list(found["coefficients"]) == ["x2", "x0"]
    same(found, run("fit", parquet, "--target", "y", "--json", *options).model)


@pytest.mark.parametrize("target", [0, 2, P])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_whatever_column_is_the_target(
    run, tmp_path, whole_files_are_not_read, target, order
):
    columns = np.insert(X, target, Y, axis=1)
    path = tmp_path / "data.npy"
    np.save(path, np.asarray(columns, order=order))
    expected = run("fit", path, "--target", target, "--json").model
    whole_files_are_not_read()
    found = run("fit", path, "--target", target, "--memory-limit", "1MB", "--json").model
    same(found, expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("features", ["0", "3,1"])
def test_few_columns_of_a_wide_array_map_what_lies_between_them(
    run, tmp_path, monkeypatch, order, features
):
    """Only in C order: columns of the other lie by themselves."""
    wide = np.hstack([X, np.zeros((N, 60)), Y[:, None]])
    np.save(tmp_path / "data.npy", np.asarray(wide, order=order))
    options = [tmp_path / "data.npy", "--target", P + 60, "--features", features, "--json"]
    expected = run("fit", *options).model
    block_by_block, opened = [], streamed.open_rows

    def open_rows(*given, **options):
        found = opened(*given, **options)
        block_by_block.append(found is not None)
        return found

    monkeypatch.setattr(streamed, "open_rows", open_rows)
    limited = [*options, "--memory-limit", "2MB"]
    same(run("fit", *limited).model, dict(expected))
    same(run("fit", *limited, "--drop-missing").model, expected)
    assert block_by_block == [order == "C", False]


def test_what_fits_the_limit_is_read_whole(run, parquet, monkeypatch):
    monkeypatch.setattr(streamed.Data, "streamed", property(lambda data: data.X.nbytes < 0))
    assert run("fit", parquet, "--target", "y", "--json", "--memory-limit", "2MB").code == 0


def test_kernels_are_compiled_with_a_few_rows(run, parquet, monkeypatch):
    fitted, rows = fastloss.fit, []

    def fit(X, *arguments, **options):
        rows.append(X.shape[0])
        return fitted(X, *arguments, **options)

    monkeypatch.setattr(fastloss, "fit", fit)
    monkeypatch.setattr(fitting, "WARM_ROWS", 100)
    run("fit", parquet, *SMALL)
    assert rows == [100, N]


@pytest.mark.parametrize(
    ("text", "count"),
    [("500MB", 5e8), ("2GiB", 2**31), ("1000000", 1e6), ("1.5 GB", 1.5e9), ("4M", 4e6)],
)
def test_sizes(text, count):
    assert values.size(text) == count


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1_500_000, "1.5 MB"), (2 * 10**9, "2 GB")]
)
def test_sizes_as_they_are_said(count, text):
    assert values.shown(count) == text


@pytest.mark.parametrize("text", ["much", "10", "-1GB", "1 PB", "5iB", "", "nan"])
def test_what_is_no_size(refused, parquet, text):
    said = refused("fit", parquet, "--target", "y", f"--memory-limit={text}")
    assert "--memory-limit" in said
    assert "500MB or 2GiB" in said
    assert repr(text) in said


def test_rows_are_not_dropped(refused, parquet):
    said = refused("fit", parquet, *SMALL, "--drop-missing")
    assert "--drop-missing needs the columns in memory" in said
    assert "1.92 MB, more than --memory-limit 1 MB" in said


def test_csv_is_not_streamed(refused, tmp_path):
    path = tmp_path / "data.csv"
    pa.csv.write_csv(table(), path)
    said = refused("fit", path, *SMALL)
    assert "more than --memory-limit 1 MB" in said
    assert "Parquet" in said


def test_missing_values_are_named_by_their_row(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed, "ROWS", 1000)
    path = tmp_path / "data.parquet"
    column = [*X[:, 1]]
    column[50_001] = None
    pq.write_table(table(x1=pa.array(column)), path)
    said = refused("fit", path, *SMALL)
    assert "first in row 50002 (in " in said
    assert "data.parquet), column 'x1': leave" in said
    (tmp_path / "folder").mkdir()
    for i, low in enumerate(range(0, N, 40_000)):
        pq.write_table(
            table(x1=pa.array(column)).slice(low, 40_000), tmp_path / "folder" / f"{i}.parquet"
        )
    said = refused("fit", tmp_path / "folder", *SMALL)
    assert "first in row 50002 (row 10002 in " in said
    assert "1.parquet), column 'x1'" in said


@pytest.mark.parametrize("limit", ["1MB", "1GB"])
def test_columns_that_folders_say_are_to_be_left_out_by_name(run, refused, tmp_path, limit):
    path = tmp_path / "parts"
    pq.write_to_dataset(table(k=np.arange(N) % 2), path, partition_cols=["k"])
    given = "fit", path, "--target", "y", "--memory-limit", limit, "--json"
    assert "names of its folders or its schema say, 'k'" in refused(*given)
    assert run(*given, "--features", "x0,x1").code == 0


def test_without_pyarrow(refused, parquet, monkeypatch):
    monkeypatch.delitem(sys.modules, "fastloss.stream.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'fastloss[cli]'" in refused("fit", parquet, *SMALL)


def test_what_is_wrong_with_finite_values_is_said_as_the_fit_says_it(refused, parquet, monkeypatch):
    def fit(*_, **__):
        raise ValueError("something else")

    monkeypatch.setattr(fastloss, "fit", fit)
    assert refused("fit", parquet, *SMALL).endswith(": something else\n")


def test_an_array_without_rows(refused, tmp_path):
    np.save(tmp_path / "none.npy", np.empty((0, 3)))
    options = ["--target", "2", "--memory-limit", "1MB"]
    assert "no rows" in refused("fit", tmp_path / "none.npy", *options)


def test_columns_that_are_not_there(refused, parquet):
    assert "'z'" in refused("fit", parquet, "--target", "z", "--memory-limit", "1MB")


@pytest.mark.parametrize("limit", ["1MB", "1GB"])
def test_a_column_that_a_file_of_a_folder_lacks(refused, tmp_path, limit):
    numbers = np.arange(100_000.0)
    pq.write_table(pa.table({"a": numbers, "e": numbers, "y": numbers}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"a": numbers, "y": numbers}), tmp_path / "1.parquet")
    said = refused("fit", tmp_path, "--target", "y", "--memory-limit", limit)
    assert "1.parquet has no column 'e', where" in said


def test_a_bar_is_for_terminals(run, parquet, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = run("fit", parquet, *SMALL).err
    assert re.search(r"pass \d", said)
    assert "rows/s" in said


def interrupting(monkeypatch, step):
    fitted = fastloss.fit

    def fit(*arguments, callback=None, **options):
        def interrupt(state):
            callback(state)
            if interrupt.steps == step:
                raise KeyboardInterrupt
            interrupt.steps += 1

        interrupt.steps = 1
        return fitted(*arguments, callback=callback and interrupt, **options)

    monkeypatch.setattr(fastloss, "fit", fit)


@pytest.mark.parametrize("limit", ["1MB", "1GB"])
def test_interrupted_after_a_step_the_best_point_is_kept(
    run, parquet, tmp_path, monkeypatch, limit
):
    whole = run("fit", parquet, *SMALL).model
    interrupting(monkeypatch, 1)
    options = ["--target", "y", "--memory-limit", limit, "--output", tmp_path / "model.json"]
    code, out, err = run("fit", parquet, *options, "--json")
    assert code == 130
    assert err == "fastloss: interrupted: this is the best point after 1 steps\n"
    model = json.loads(out)
    assert json.loads((tmp_path / "model.json").read_text()) == model
    assert (model["success"], model["message"], model["n_iter"]) == (False, "interrupted", 1)
    assert (model["scale"], model["n_outliers"], model["beta"]) == (None, None, 1.0)
    assert whole["fun"] <= model["fun"] < 1.1 * whole["fun"]
    shown = run("fit", parquet, *options)
    assert shown.code == 130
    assert ["converged", "no"] in [line.split() for line in shown.out.splitlines()]


def test_a_real_signal(parquet, tmp_path):
    """The callback tells that a step is done, and waits for the signal."""
    code = (
        "import sys, time, fastloss; from fastloss.cli import main; fit = fastloss.fit\n"
        "def slow(*a, callback=None, **k):\n"
        "    def told(state): callback(state); print('step', file=sys.stderr, flush=True);"
        " time.sleep(60)\n"
        "    return fit(*a, callback=callback and told, **k)\n"
        "fastloss.fit = slow; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["fit", str(parquet), *SMALL]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline() == "step\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "best point after 1 steps" in err
    assert json.loads(out)["message"] == "interrupted"
