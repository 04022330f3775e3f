"""Files that somebody made to do harm, or that are larger than they look: one line, no crash."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastloss import container
from fastloss.cli import arrow, capacity
from tests.cli import forged

resource = pytest.importorskip("resource")


class Harmful:
    """What runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def limited(*arguments, memory):
    """Run the command line in a process of so much address space."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [sys.executable, "-m", "fastloss", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=limit,
        # Threads reserve address space that they never use.
        env=os.environ
        | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )


@pytest.mark.parametrize("command", ["fit", "predict"])
@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_no_object_is_unpickled(refused, model, tmp_path, name, command):
    path, made = tmp_path / name, tmp_path / "made"
    array = np.array([[Harmful(made), 1], [2, 3]], object)
    np.save(path, array) if name == "data.npy" else np.savez(path, array)
    rest = ["--target", "0"] if command == "fit" else ["--output", tmp_path / "out.npy"]
    said = refused(command, *([path] if command == "fit" else [model, path]), *rest)
    assert "Python objects, which are never loaded" in said
    assert not made.exists()


def test_a_pickle_is_no_array(refused, tmp_path):
    path, made = tmp_path / "data.npy", tmp_path / "made"
    path.write_bytes(pickle.dumps(Harmful(made)))
    assert "cannot read" in refused("fit", path, "--target", "0")
    assert not made.exists()


@pytest.mark.parametrize("claimed", [10**9, 10**12, 2**62])
def test_a_footer_that_claims_more_rows_than_there_are(refused, tmp_path, claimed):
    path = forged.parquet(tmp_path / "data.parquet", claimed)
    assert "fewer rows than their footers say" in refused("fit", path, "--target", "y")


def test_a_footer_that_claims_more_than_memory(refused, model, tmp_path):
    path = forged.parquet(tmp_path / "data.parquet", 10**12)
    said = refused("fit", path, "--target", "y", "--memory-limit", "100TB")
    assert "would take 8e+03 GB" in said
    assert "block by block" in said
    assert "a column of" in refused("predict", model, path, "--output", tmp_path / "out.npy")


def test_a_footer_that_claims_a_little_more(refused, tmp_path):
    path = forged.parquet(tmp_path / "data.parquet", forged.ROWS + 1)
    assert "cannot read" in refused("fit", path, "--target", "y")


def test_a_header_of_a_million_columns(refused, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"c{i}" for i in range(1_000_000)) + "\n1\n")
    assert "the first line of" in (said := refused("fit", path, "--target", "c0"))
    assert "longer than 4 MiB: it has too many columns" in said


@pytest.mark.slow
def test_a_csv_of_short_numbers_beyond_the_limit(refused, run, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b,y\n" + "1,2,3\n4,5,7\n" * 40_000)  # 480 KB, 1.3 MB in memory
    said = refused("fit", path, "--target", "y", "--memory-limit", "1MB")
    assert "take about 1.28 MB in memory" in said
    assert "more than --memory-limit 1 MB" in said
    assert run("fit", path, "--target", "y", "--memory-limit", "2MB", "--json").code == 0
    fewer = ["--features", "a", "--memory-limit", "1MB", "--json"]
    assert run("fit", path, "--target", "y", *fewer).model["n_rows"] == 80_000


def test_rows_are_estimated_by_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "CSV_BLOCK", 1000)
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "1,2\n" * 10_000)
    assert arrow.CsvTable(path).estimated_rows() == pytest.approx(10_000, rel=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep this limit")
@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_data_that_do_not_fit_the_process(tmp_path, kind):
    path = tmp_path / f"data.{kind}"
    if kind == "csv":
        path.write_text("a,b,c,d,y\n" + "1,2,3,4,5\n" * 10_000_000)
    elif kind == "parquet":
        pq.write_table(pa.table({k: np.zeros(40_000_000) for k in "aby"}), path)
    else:
        np.savez(path, a=np.zeros(40_000_000), b=np.zeros(40_000_000), y=np.zeros(40_000_000))
    for _ in range(3):
        ran = limited("fit", path, "--target", "y", "--memory-limit", "10GB", memory=1 << 30)
        # Arrow ends the process itself where the allocation that fails is a small one of its own.
        if "ValueOrDie" not in ran.stderr:
            break
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("fastloss: error: ")
    assert len(ran.stderr.splitlines()) == 1
    assert "memory" in ran.stderr


@pytest.mark.parametrize(("text", "there"), [("1000\n", 1000), ("max\n", None), (None, None)])
def test_memory_is_what_a_container_has(tmp_path, monkeypatch, text, there):
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "none")
    most = capacity.memory()
    assert most > 10**8
    (tmp_path / "membership").write_text("0::/here\n")
    (tmp_path / "here").mkdir()
    if text is not None:
        (tmp_path / "here" / "memory.max").write_text(text)
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(container, "HIERARCHY", tmp_path)
    assert capacity.memory() == (there or most)


def test_memory_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "none")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert capacity.memory() == float("inf")


def test_memory_is_what_the_process_may_have(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**7, 10**8))
    assert capacity.memory() == 10**7


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_what_is_no_file_is_not_waited_for(refused, model, tmp_path, command):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    rest = ["--target", "0"] if command == "fit" else ["--output", tmp_path / "out.npy"]
    for name in (pipe, "/dev/zero", ""):
        said = refused(command, *([name] if command == "fit" else [model, name]), *rest)
        assert f"must name a file or a folder of files, got {str(name)!r}" in said
    if command == "predict":
        assert "/dev/zero" in refused("predict", "/dev/zero", model, *rest)


@pytest.mark.parametrize("streamed", [False, True])
def test_numbers_wider_than_float64_are_refused(refused, tmp_path, streamed):
    path = tmp_path / "wide.npy"
    np.save(path, np.ones((300_000 if streamed else 9, 3), np.longdouble))
    options = ["--memory-limit", "16MB"] if streamed else []
    assert "more than float64: save it by astype(float)" in refused(
        "fit", path, "--target", "0", *options
    )


def test_what_a_terminal_obeys_is_not_printed(run, csv):
    path = csv("\x1b[31mred,y\n" + "".join(f"{k},{k * k}\n" for k in range(9)))
    _, out, err = run("fit", path, "--target", "y")
    assert "\x1b" not in out + err
    assert "\\x1b[31mred" in out


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("code", [0, 2])
def test_a_closed_output_changes_no_exit_code(stackloss, closed, code):
    target = "stack.loss" if code == 0 else "nobody"
    command = f'"{sys.executable}" -m fastloss fit "{stackloss}" --target {target} {closed}'
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
