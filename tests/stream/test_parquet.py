"""Rows of Parquet files."""

import pickle
import threading
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, dataset

import fastloss as fl
from fastloss.stream import parquet as streaming
from fastloss.stream.batches import Batches
from fastloss.stream.files import Files
from fastloss.stream.parquet import Parquet
from fastloss.stream.part import Part
from fastloss.stream.turned import Turned
from tests.stream.checks import check_block, check_blocks

N = 103
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, N)).astype(np.float32)
Y, WEIGHT = RNG.standard_normal(N), RNG.random(N)
X = np.column_stack((A, B))


def write(path, group=20, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "data.parquet", a=A, y=Y, b=B, w=WEIGHT)


@pytest.fixture
def folder(tmp_path):
    """Files of 40, 0, 1 and 62 rows."""
    path = tmp_path / "folder"
    path.mkdir()
    for i, (low, high) in enumerate([(0, 40), (40, 40), (40, 41), (41, N)]):
        columns = {"a": A, "y": Y, "b": B, "w": WEIGHT}
        write(path / f"{i}.parquet", **{k: v[low:high] for k, v in columns.items()})
    return path


@pytest.fixture
def short_batches(monkeypatch):
    monkeypatch.setattr(streaming, "MOST_ROWS", 7)


@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("rows", [1, 10, 20, 33, N, 1000])
@pytest.mark.parametrize("source", ["file", "folder"])
def test_blocks_have_the_rows_asked_for(request, source, rows):
    source = Parquet(request.getfixturevalue(source), "y", weight="w")
    assert source.shape == (N, 2)
    assert source.dtype == np.float32
    for _ in range(2):
        check_blocks(source, X, Y, WEIGHT, rows)


@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("low", [1, 20, 39, 40, 41, 70, N - 1])
@pytest.mark.parametrize("source", ["file", "folder"])
def test_blocks_from_a_row_on(request, source, low):
    source = Parquet(request.getfixturevalue(source), "y", ["a", "b"])
    check_blocks(source, X, Y, None, 10, low)
    check_block(source.block(low, N), X[low:], Y[low:], None)


def test_row_groups_before_the_first_row_are_not_read(file):
    data = bytearray(file.read_bytes())
    end = pq.ParquetFile(file).metadata.row_group(2).column(0).file_offset
    start = pq.ParquetFile(file).metadata.row_group(2).column(0).dictionary_page_offset
    data[4 : start or end] = bytes((start or end) - 4)
    file.write_bytes(data)
    check_blocks(Parquet(file, "y", ["a", "b"]), X, Y, None, 10, low=45)


def test_features_are_all_other_columns_or_those_asked_for_in_that_order(file):
    assert Parquet(file, "y").features == ("a", "b", "w")
    assert Parquet(file, "y", weight="w").features == ("a", "b")
    source = Parquet(file, "y", ["b", "a"])
    assert source.features == ("b", "a")
    check_blocks(source, X[:, ::-1], Y, None, 50)


def test_columns_of_one_file_are_not_copied(file, monkeypatch):
    monkeypatch.setattr(Part, "_copy", lambda *given: pytest.fail("it copies"))
    for rows in (7, 20, 50, 80):
        check_blocks(Parquet(file, "y", ["a", "b"]), X, Y, None, rows)


def test_a_thread_reads_several_columns(tmp_path):
    X = RNG.standard_normal((N, 21))
    path = write(tmp_path / "data.parquet", y=Y, **{f"x{j}": X[:, j] for j in range(21)})
    for rows in (20, N):
        check_blocks(Parquet(path, "y"), X, Y, None, rows)
    check_block(Parquet(path, "y").block(5, 90), X[5:90], Y[5:90], None)


def test_blocks_that_are_kept_do_not_change(file):
    kept = list(Parquet(file, "y", ["a", "b"]).blocks(10))
    np.testing.assert_array_equal(np.concatenate([block.X for block in kept]), X)
    np.testing.assert_array_equal(np.concatenate([block.y for block in kept]), Y)


def test_other_columns_may_hold_anything(tmp_path):
    path = write(tmp_path / "data.parquet", name=pa.array(["x"] * N), a=A, b=B, y=Y)
    check_blocks(Parquet(path, "y", ["a", "b"]), X, Y, None, 50)


def test_a_column_of_another_precision_makes_x_float64(tmp_path):
    path = write(tmp_path / "data.parquet", a=A, b=B.astype(np.float64), y=Y.astype(np.float32))
    source = Parquet(path, "y")
    assert source.dtype == np.float64
    check_blocks(source, X, Y.astype(np.float32), None, 50)
    assert source.block(0, 1).y.dtype == np.float32


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, None], pa.int8()),
        pa.array([1, 2, None], pa.uint64()),
        pa.array([1, 2, None], pa.float16()),
        pa.array([1, 2, None], pa.float32()),
        pa.array([1, 2, None], pa.float64()),
        pa.array([1, 2, None], pa.decimal128(5, 2)),
        pa.array([1, 2, None], pa.int32()).dictionary_encode(),
        pa.array([1, 2, None], pa.float32()).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_whatever_is_a_number_is_read_and_missing_ones_are_nan(tmp_path, column):
    path = write(tmp_path / "data.parquet", a=column, y=column)
    block = Parquet(path, "y").block(0, 3)
    np.testing.assert_array_equal(block.X[:, 0], [1, 2, np.nan])
    np.testing.assert_array_equal(block.y, [1, 2, np.nan])


def test_booleans_and_columns_of_nothing(tmp_path):
    path = write(
        tmp_path / "data.parquet",
        a=pa.array([True, None, False]),
        b=pa.nulls(3),
        y=pa.array([1, 2, 3]),
    )
    block = Parquet(path, "y").block(0, 3)
    np.testing.assert_array_equal(block.X, [[1, np.nan], [np.nan, np.nan], [0, np.nan]])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["x"]), "text"),
        (pa.array(["x"]).dictionary_encode(), "text"),
        (pa.array([0], pa.timestamp("ms")), r"timestamp\[ms\]"),
        (pa.array([[1.0]]), "list<"),
    ],
)
def test_columns_that_are_no_numbers_are_refused(tmp_path, column, words):
    path = write(tmp_path / "data.parquet", a=column, y=pa.array([1.0]))
    with pytest.raises(TypeError, match=f"column 'a' holds {words}.*, not numbers"):
        Parquet(path, "y")


def test_names_that_are_not_there_are_answered_with_those_there_are(file):
    with pytest.raises(ValueError, match="no column 'Y', did you mean 'y'.*'a', 'y', 'b', 'w'"):
        Parquet(file, "Y")
    with pytest.raises(ValueError, match="no column 'c'"):
        Parquet(file, "y", ["a", "c"])
    with pytest.raises(ValueError, match="no column 'weights'"):
        Parquet(file, "y", weight="weights")


def test_names_that_do_not_fit_together_are_refused(file):
    with pytest.raises(ValueError, match="target 'y' is among the features"):
        Parquet(file, "y", ["a", "y"])
    with pytest.raises(ValueError, match="weight 'w' is among the features"):
        Parquet(file, "y", ["a", "w"], "w")
    with pytest.raises(ValueError, match="target 'y' is the weight too"):
        Parquet(file, "y", ["a"], "y")
    with pytest.raises(ValueError, match="'a' is given 2 times"):
        Parquet(file, "y", ["a", "a"])
    with pytest.raises(ValueError, match="no features"):
        Parquet(file, "y", [])


def test_a_name_that_two_columns_have_is_refused(tmp_path):
    table = pa.table([A, B, Y], names=["a", "a", "y"])
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="2 columns called 'a'"):
        Parquet(tmp_path / "data.parquet", "y")


def test_names_with_dots(tmp_path):
    columns = {"a": A, "a.b": B, "y": Y}
    path = write(tmp_path / "data.parquet", **columns)
    check_blocks(Parquet(path, "y"), X, Y, None, 50)
    check_blocks(Parquet(path, "y", ["a"]), X[:, :1], Y, None, 50)


def test_without_rows_or_files(tmp_path):
    path = write(tmp_path / "data.parquet", a=A[:0], y=Y[:0])
    with pytest.raises(ValueError, match="X must have at least one row"):
        Parquet(path, "y")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no Parquet files"):
        Parquet(tmp_path / "empty", "y")


@pytest.mark.parametrize("spoil", ["missing", "text", "cut"])
def test_a_file_that_cannot_be_opened_is_named(folder, spoil):
    path = folder / "2.parquet"
    if spoil == "missing":
        path = folder / "nothing.parquet"
        source = path
    else:
        path.write_bytes(b"a,y\n1,2\n" if spoil == "text" else path.read_bytes()[:-30])
        source = folder
    with pytest.raises(OSError, match=path.name):
        Parquet(source, "y")


@pytest.mark.parametrize("rows", [10, 1000])
def test_a_file_that_cannot_be_read_is_named(folder, rows):
    path = folder / "3.parquet"
    data = bytearray(path.read_bytes())
    data[4:600] = b"\xff" * 596
    path.write_bytes(data)
    source = Parquet(folder, "y")
    blocks = source.blocks(rows)
    with pytest.raises(OSError, match="cannot read .*3.parquet: ") as caught:
        list(blocks)
    assert caught.value.__cause__ is not None
    assert list(blocks) == []


def test_a_file_that_vanished_is_named(folder):
    source = Parquet(folder, "y")
    (folder / "3.parquet").unlink()
    with pytest.raises(OSError, match="3.parquet"):
        list(source.blocks(50))


def test_files_that_differ_are_named(folder):
    write(folder / "2.parquet", a=pa.array(["x"]), y=Y[:1], b=B[:1], w=WEIGHT[:1])
    with pytest.raises(TypeError, match=r"'a' holds text, not numbers, in .*2.parquet"):
        Parquet(folder, "y")
    write(folder / "2.parquet", a=A, y=Y, w=WEIGHT)
    with pytest.raises(ValueError, match=r"2.parquet has no column 'b', where .*0.parquet has one"):
        Parquet(folder, "y")
    assert Parquet(folder, "y", ["a"]).shape[1] == 1
    write(folder / "2.parquet", a=A, y=Y, b=B, w=WEIGHT, later=A)
    with pytest.raises(ValueError, match=r"2.parq.* that .*0.parquet has not, 'later': name"):
        Parquet(folder, "y")
    assert Parquet(folder, "y", ["a"]).shape[1] == 1


@pytest.mark.parametrize("a", [A[40:41].astype(float), np.array([2**40]), np.array([True])])
def test_files_may_have_other_types_of_numbers_than_the_first(folder, a):
    write(folder / "2.parquet", a=a, y=Y[40:41].astype(np.float32), b=B[40:41])
    expected = X.astype(float)
    expected[40, 0] = a[0]
    source = Parquet(folder, "y", ["a", "b"])
    y = Y.copy()
    y[40] = np.float32(y[40])
    assert source.dtype == float
    check_blocks(source, expected, y, None, 30)


@pytest.mark.parametrize("given", ["path", "text", "data set"])
def test_columns_that_the_names_of_folders_say_are_not_left_out_in_silence(tmp_path, given):
    columns = {"a": A, "y": Y, "k": np.arange(N) % 2, "m": np.zeros(N, int)}
    pq.write_to_dataset(pa.table(columns), tmp_path / "parts", partition_cols=["k", "m"])
    source = {
        "path": tmp_path / "parts",
        "text": str(tmp_path / "parts"),
        "data set": dataset.dataset(tmp_path / "parts", partitioning="hive"),
    }[given]
    with pytest.raises(ValueError, match="has columns that only .* say, 'k', 'm': they are not re"):
        fl.fit(source, "y")
    assert Parquet(source, "y", ["a"]).shape == (N, 1)
    assert fl.LinearObjective(tmp_path / "parts" / "k=1", "y").shape == (N // 2, 1)


def test_a_data_set_of_pyarrow(folder):
    check_blocks(Parquet(dataset.dataset(folder), "y", ["a", "b"]), X, Y, None, 50)


def test_other_data_sets_are_refused(folder, tmp_path):
    files = dataset.dataset(folder)
    with pytest.raises(ValueError, match="without a filter"):
        Parquet(files.filter(dataset.field("y") > 0), "y")
    with pytest.raises(TypeError, match="Dataset of Parquet files, got .*InMemoryDataset"):
        Parquet(dataset.dataset(pa.table({"a": A})), "y")
    with pytest.raises(TypeError, match="Dataset of Parquet files, got .*Table"):
        Parquet(pa.table({"a": A}), "y")
    csv.write_csv(pa.table({"a": A, "y": Y}), tmp_path / "data.csv")
    with pytest.raises(TypeError, match="Parquet files, got csv"):
        Parquet(dataset.dataset(tmp_path / "data.csv", format="csv"), "y")


def test_it_can_be_stopped_early_and_begun_again(file):
    source = Parquet(file, "y", ["a", "b"])
    for block in source.blocks(10):
        if block.low == 30:
            break
    check_blocks(source, X, Y, None, 10)


def test_it_can_be_pickled(folder):
    source = pickle.loads(pickle.dumps(Parquet(folder, "y", weight="w")))
    check_blocks(source, X, Y, WEIGHT, 50)


def test_rows_within_a_budget(file):
    source = Parquet(file, "y", ["a", "b"])
    more = source.rows_within(2 * 10**9) - source.rows_within(10**9)
    assert more == pytest.approx(10**9 / (3 * 16 + 32), abs=1)
    assert source.rows_within(1) == 1


def test_rows_that_are_not_finite_are_named_with_their_file(folder):
    for row, name, own in ((39, "0", ""), (40, "2", "row 0 "), (102, "3", "row 61 ")):
        assert Parquet(folder, "y").where(row) == f"{own}in {folder / name}.parquet"
    assert Parquet(folder, "y").where(102, first=1) == f"row 62 in {folder / '3'}.parquet"
    bad = Y.copy()
    bad[50] = np.nan
    write(folder / "3.parquet", a=A[41:], y=bad[41:], b=B[41:], w=WEIGHT[41:])
    source = Parquet(folder, "y", ["a", "b"])
    assert Turned(source, np.zeros(2), np.eye(2)).where(41) == source.where(41)
    with pytest.raises(ValueError, match=r"y must .*, but its row 50, row 9 in .*3\.parquet, is"):
        fl.fit(folder, "y")


@pytest.mark.parametrize("bad", [-1.0, None], ids=["negative", "missing"])
def test_weights_that_are_none_are_named_with_their_file(folder, bad):
    weight = [*WEIGHT[41:]]
    weight[9] = bad
    write(folder / "3.parquet", a=A[41:], y=Y[41:], b=B[41:], w=pa.array(weight))
    said = r"weight must not be negative or NaN, got (-1\.0|nan) in row 50, row 9 in .*3\.parquet"
    with pytest.raises(ValueError, match=said):
        fl.LinearObjective(folder, "y", weight="w")


def test_row_groups_that_exceed_a_limit_are_written_elsewhere(tmp_path):
    columns = {f"x{j}": np.arange(10_000.0) for j in range(300)}
    path = write(tmp_path / "wide.parquet", group=10_000, **columns)
    with pytest.warns(UserWarning, match=r"temporary file .* take \d+ MB .* is 2 MB") as told:
        fl.LinearObjective(path, "x0", memory_limit=2_000_000)
    assert told[0].filename == __file__
    write(path, group=100, **columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.LinearObjective(path, "x0", memory_limit=2_000_000)


def test_rows_that_are_copied_come_in_short_batches(file, monkeypatch):
    monkeypatch.setattr(streaming, "BATCH_BYTES", 100)
    asked = []
    take = Batches.take
    monkeypatch.setattr(Batches, "take", lambda *given: asked.append(given[1]) or take(*given))
    source = Parquet(file, "y")
    source.block(0, 7)
    assert max(asked) == 7
    source.block(0, N)
    assert max(asked) == 20  # a row group
    list(source.blocks(50))
    assert max(asked) == 50


@pytest.mark.parametrize(("group", "most"), [(10, 10), (40, 80)])
def test_blocks_of_many_short_row_groups_are_read_group_by_group(
    tmp_path, group, most, monkeypatch
):
    write(tmp_path / "data.parquet", group=group, a=A, y=Y, b=B)
    asked, take = [], Batches.take
    monkeypatch.setattr(Batches, "take", lambda self, rows: asked.append(rows) or take(self, rows))
    check_blocks(Parquet(tmp_path / "data.parquet", "y"), X, Y, None, 80)
    assert max(asked) == most


def test_a_file_that_has_changed_is_not_taken_for_what_it_was(folder):
    source = Parquet(folder, "y", ["a", "b"])
    check_blocks(source, X, Y, None, 50)
    write(folder / "3.parquet", a=A[41:], y=-Y[41:], b=B[41:], w=WEIGHT[41:])
    with pytest.raises(OSError, match=r"3\.parquet has changed"):
        list(source.blocks(50))
    assert source.block(0, 40).y.size == 40


def test_features_are_no_string(file):
    with pytest.raises(TypeError, match="sequence of names, got the string 'ab'"):
        Parquet(file, "y", "ab")


@pytest.mark.parametrize(
    ("role", "given"),
    [
        ("target", {"target": 3}),
        ("weight", {"target": "y", "weight": 3}),
        ("features", {"target": "y", "features": ["a", 3]}),
    ],
)
def test_names_are_strings(file, role, given):
    with pytest.raises(TypeError, match=f"^{role} must be the name of a column, got 3"):
        Parquet(file, **given)


def test_files_are_closed_by_whoever_reads_them(file, monkeypatch):
    closed, close = [], Batches.close
    monkeypatch.setattr(Batches, "close", lambda batches: closed.append(close(batches)))
    source = Parquet(file, "y", ["a", "b"])
    source.block(0, 10)
    assert len(closed) == 3  # a thread each
    list(source.columns(["a"], np.empty((1, 50))))
    assert len(closed) == 4


def test_an_interrupt_while_a_thread_starts_waits_for_the_file_it_opens(file, monkeypatch):
    source, opened, begun = Parquet(file, "y", ["a", "b"]), Files._open, threading.Event()

    def slow(*given, **how):
        begun.set()
        threading.Event().wait(0.05)
        return opened(*given, **how)

    def interrupted(thread, start=threading.Thread.start):
        start(thread)
        begun.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(Files, "_open", slow)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.block(0, 10)
