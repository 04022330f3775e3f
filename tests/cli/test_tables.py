"""Reading files: every format gives the same X and y, and every fault is one line."""

import io
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastloss.cli import arrow, tables
from fastloss.cli.errors import CommandError

A, B, Y = np.array([1.0, 2, 4]), np.array([3.0, 5, 6]), np.array([7.0, 8, 10])


def read(path, target="y", features=None, drop_missing=False):
    return tables.read(path, target, features, drop_missing=drop_missing)


def message(*arguments, **options):
    with pytest.raises(CommandError) as caught:
        read(*arguments, **options)
    return str(caught.value)


def parquet(folder, file="data.parquet", **columns):
    path = folder / file
    pq.write_table(pa.table(columns), path)
    return path


def npy(folder, array, name="data.npy"):
    path = folder / name
    np.save(path, array)
    return path


def npz(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def as_csv(folder):
    path = folder / "data.csv"
    path.write_text("a,b,y\n1,3,7\n2,5,8\n4,6,10\n")
    return path, "y", ("a", "b")


def as_parquet(folder):
    return parquet(folder, a=A, b=B, y=Y), "y", ("a", "b")


def as_pq(folder):
    return parquet(folder, "data.pq", a=A, b=B, y=Y), "y", ("a", "b")


def as_folder(folder):
    inner = folder / "parts"
    inner.mkdir()
    parquet(inner, "1.parquet", a=A[:1], b=B[:1], y=Y[:1])
    parquet(inner, "2.parquet", a=A[1:], b=B[1:], y=Y[1:])
    return inner, "y", ("a", "b")


def as_npy(folder):
    return npy(folder, np.column_stack((A, B, Y))), "2", ("0", "1")


def as_npy_in_fortran_order(folder):
    return npy(folder, np.asfortranarray(np.column_stack((A, B, Y)))), "2", ("0", "1")


def as_npy_of_integers(folder):
    return npy(folder, np.column_stack((A, B, Y)).astype(np.int16)), "2", ("0", "1")


def as_big_endian_npy(folder):
    return npy(folder, np.column_stack((A, B, Y)).astype(">f8")), "2", ("0", "1")


def as_npy_with_the_target_between(folder):
    return npy(folder, np.column_stack((A, Y, B))), "1", ("0", "2")


def as_structured_npy(folder):
    array = np.empty(3, [("a", "f8"), ("b", "i4"), ("y", "f4")])
    array["a"], array["b"], array["y"] = A, B, Y
    return npy(folder, array), "y", ("a", "b")


def as_npz_of_columns(folder):
    return npz(folder, a=A, b=B.astype(int), y=Y), "y", ("a", "b")


def as_npz_of_a_matrix(folder):
    return npz(folder, X=np.column_stack((A, B)), y=Y), "y", ("X0", "X1")


def as_npz_with_a_header_of_version_2(folder):
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name, array in {"a": A, "b": B, "y": Y}.items():
            with file.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array, version=(2, 0))
    return path, "y", ("a", "b")


def as_compressed_npz(folder):
    path = folder / "data.npz"
    np.savez_compressed(path, X=A[:, None], b=B, y=Y)
    return path, "y", ("X0", "b")


FORMATS = [value for name, value in list(globals().items()) if name.startswith("as_")]


@pytest.mark.parametrize("make", FORMATS)
def test_every_format_gives_the_same_arrays(make, tmp_path):
    path, target, features = make(tmp_path)
    data = read(path, target)
    np.testing.assert_array_equal(data.X, np.column_stack((A, B)))
    np.testing.assert_array_equal(data.y, Y)
    assert data.features == features
    assert data.dropped == 0
    assert data.X.dtype == np.float64


@pytest.mark.parametrize("make", FORMATS)
def test_features_come_in_the_order_they_are_named(make, tmp_path):
    path, target, (first, second) = make(tmp_path)
    data = read(path, target, [second, first])
    np.testing.assert_array_equal(data.X, np.column_stack((B, A)))
    assert data.features == (second, first)


@pytest.mark.parametrize("make", FORMATS)
def test_one_feature(make, tmp_path):
    path, target, (_, second) = make(tmp_path)
    np.testing.assert_array_equal(read(path, target, [second]).X, B[:, None])


def test_float32_stays_if_all_features_have_it(tmp_path):
    a, b, y = (v.astype(np.float32) for v in (A, B, Y))
    path = parquet(tmp_path, a=a, b=b, y=y)
    assert read(path).X.dtype == np.float32
    assert read(path).y.dtype == np.float32
    path = parquet(tmp_path, a=a, b=B, y=y)
    assert read(path).X.dtype == np.float64
    np.testing.assert_array_equal(read(path).X, np.column_stack((A, B)))
    assert read(npy(tmp_path, np.column_stack((a, b, y))), "2").X.dtype == np.float32


def test_columns_side_by_side_in_npy_are_not_copied(tmp_path):
    data = read(npy(tmp_path, np.arange(12.0).reshape(4, 3)), "0")
    assert not data.X.flags.owndata
    assert not data.X.flags.writeable  # the mapped file itself
    np.testing.assert_array_equal(data.X, np.arange(12.0).reshape(4, 3)[:, 1:])


@pytest.mark.parametrize(
    ("text", "X"),
    [
        ("a,y\n\n1,2\n\n\n3,4\n\n", [1, 3]),
        (b"\xef\xbb\xbfa,y\n1,2\n3,4\n", [1, 3]),
        ('"a","y"\n"1",2\n"3",4\n', [1, 3]),
        ("a,y\r\n1,2\r\n3,4", [1, 3]),
        ("a,y\ntrue,2\nFalse,4\n", [1, 0]),
        ("a,y\n 1.5 ,2\n+3,4\n", [1.5, 3]),
        ("a,y\n1,2\n1e-3,4\n", [1, 0.001]),
        ('note,a,y\n"x\ny, z",1,2\nw,3,4\n', [1, 3]),
    ],
    ids=["blank", "bom", "quoted", "crlf", "booleans", "spaces", "mixed", "newline"],
)
def test_csv_as_it_comes(csv, text, X):
    data = read(csv(text), features=["a"])
    np.testing.assert_array_equal(data.X[:, 0], X)
    np.testing.assert_array_equal(data.y, [2, 4])


def test_line_breaks_in_quotes_where_a_block_ends(csv, monkeypatch):
    from fastloss.cli import arrow

    monkeypatch.setattr(arrow, "CSV_BLOCK", 64)
    path = csv("note,a,y\n" + '"one\ntwo\nthree\nfour",1,2\n' * 20)
    assert read(path, features=["a"]).y.size == 20


def test_a_row_of_csv_longer_than_what_is_read_at_once(csv, monkeypatch):
    path = csv("a,y\n1,2\n" + "1" * 500 + ",2\n")
    monkeypatch.setattr("fastloss.cli.arrow.CSV_BLOCK", 100)
    assert "cannot read" in message(path)


def test_a_csv_header_with_commas_in_quotes(csv):
    assert read(csv('"a, b",y\n1,2\n')).features == ("a, b",)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 4], pa.uint8()),
        pa.array([1, 2, 4], pa.decimal128(5, 2)),
        pa.array([1, 2, 4], pa.float16()),
        pa.array([1, 2, 4], pa.int32()).dictionary_encode(),
    ],
    ids=str,
)
def test_parquet_number_types(tmp_path, column):
    np.testing.assert_array_equal(read(parquet(tmp_path, a=column, y=Y)).X[:, 0], A)


def test_parquet_booleans(tmp_path):
    path = parquet(tmp_path, a=pa.array([True, False, True]), y=Y)
    np.testing.assert_array_equal(read(path).X[:, 0], [1, 0, 1])


def test_only_needed_columns_are_read(csv, tmp_path):
    assert read(csv("name,a,y\nx,1,2\n"), features=["a"]).X.shape == (1, 1)
    path = parquet(tmp_path, name=pa.array(["x", "y", "z"]), a=A, y=Y)
    assert read(path, features=["a"]).X.shape == (3, 1)


MISSING = [1.0, None, 3.0, 4.0], [1.0, 2.0, np.inf, 4.0], [1.0, 2.0, 3.0, np.nan]


def missing_csv(folder):
    path = folder / "data.csv"
    path.write_text("a,b,y\n1,1,1\n,2,2\n3,inf,3\n4,4,NaN\n")
    return path, "y"


def missing_parquet(folder):
    a, b, y = (pa.array(v) for v in MISSING)
    return parquet(folder, a=a, b=b, y=y), "y"


def missing_npy(folder):
    return npy(folder, np.array(MISSING, float).T), "2"


@pytest.mark.parametrize("make", [missing_csv, missing_parquet, missing_npy])
def test_missing_values_are_refused_or_dropped(make, tmp_path):
    path, target = make(tmp_path)
    text = message(path, target)
    first = "0" if target == "2" else "a"
    assert "3 of 4 rows" in text
    assert f"row 2, column '{first}'" in text
    assert "--drop-missing" in text
    data = read(path, target, drop_missing=True)
    np.testing.assert_array_equal(data.X, [[1, 1]])
    np.testing.assert_array_equal(data.y, [1])
    assert data.dropped == 3


def test_a_missing_target_is_named(csv):
    assert "row 2, column 'y'" in message(csv("a,y\n1,2\n2,\n"))


def test_missing_values_are_found_in_later_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 64)
    array = np.ones((50, 3))
    array[[30, 41], 1] = np.nan
    path = npy(tmp_path, array)
    assert "2 of 50 rows, first in row 31, column '1'" in message(path, "2")
    assert read(path, "2", drop_missing=True).X.shape == (48, 2)


def test_all_rows_missing(csv):
    assert "every row" in message(csv("a,y\n,1\n2,\n"), drop_missing=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y\n1,2\nabc,3\nd,4\n", ["'a'", "text", "row 2", "'abc'"]),
        ("a,y\n,2\n1,3\n2,3\n12 kg,4\n", ["'a'", "text", "row 4", "'12 kg'"]),
        ("a,y\n1,2\n3,x\n", ["'y'", "text", "row 2", "'x'"]),
        (b"a,y\n1,2\n\xe9,3\n", ["'a'", "text", "row 2"]),
        ("a,y\n2024-01-05,2\n", ["'a'", "date", "row 1", "2024-01-05"]),
        ("a,y\n1,2\n\n3\n", ["row 2", "1 values", "header 2"]),
        ("a,y\n1,2\n3,4,5\n", ["row 2", "3 values", "header 2"]),
        ("a,y\n", ["no rows"]),
        ("a,y", ["no rows"]),
        ("", ["no rows"]),
        ("\n\n", ["no rows"]),
        (b"\xe9,y\n1,2\n", ["UTF-8"]),
        ("a,a,y\n1,2,3\n", ["2 columns", "'a'"]),
        ("a,y,y\n1,2,3\n", ["2 columns", "'y'"]),
        ("y\n1\n", ["no features", "'y'"]),
    ],
)
def test_faults_of_csv(csv, text, words):
    said = message(csv(text))
    assert [word for word in words if word not in said] == []


def test_names_twice_do_not_matter_where_they_are_not_needed(csv):
    assert read(csv("c,a,c,y\n1,2,3,4\n"), features=["a"]).X[0, 0] == 2


def test_text_in_a_long_column_is_found(csv):
    lines = ["1,2"] * 5000
    lines[4321] = "oops,2"
    assert "row 4322 is 'oops'" in message(csv("\n".join(["a,y", *lines])))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([None, "1", "x"]), ["text", "row 2", "'1'"]),
        (pa.array([None, None, None], pa.string()), ["text"]),
        (pa.array(["u", "v", "w"]).dictionary_encode(), ["text", "row 1", "'u'"]),
        (pa.array([1, 2, 3], pa.timestamp("ns")), ["timestamp[ns]", "row 1", "1970"]),
        (pa.array([[1], [2], [3]]), ["list", "row 1", "[1]"]),
        (pa.array([b"\xff", b"", b""]), ["row 1"]),
    ],
    ids=str,
)
def test_parquet_columns_that_are_no_numbers(tmp_path, column, words):
    said = message(parquet(tmp_path, a=column, y=Y))
    assert [word for word in ["'a'", *words] if word not in said] == []


def object_column(folder):
    return npy(folder, np.array([[1, None]], object))


def one_dimensional(folder):
    return npy(folder, A)


def three_dimensional(folder):
    return npy(folder, np.zeros((2, 2, 2)))


def text_npy(folder):
    return npy(folder, np.array([["a", "b"]]))


def complex_npy(folder):
    return npy(folder, np.ones((2, 2), complex))


def array_field(folder):
    return npy(folder, np.zeros(2, [("0", "f8", (2,)), ("1", "f8")]))


def no_rows_npy(folder):
    return npy(folder, np.zeros((0, 2)))


def cut_npy(folder):
    path = npy(folder, np.zeros((100, 2)))
    path.write_bytes(path.read_bytes()[:200])
    return path


def zip_as_npy(folder):
    path = npz(folder, a=A)
    return path.rename(folder / "data.npy")


def lengths_differ(folder):
    return npz(folder, **{"0": A, "1": B[:2]})


def scalar_member(folder):
    return npz(folder, **{"0": A, "1": B, "n": np.float64(1)})


def text_member(folder):
    return npz(folder, **{"0": np.array(["u", "v", "w"]), "1": B})


def object_member(folder):
    return npz(folder, **{"0": np.array([None, 1, 2]), "1": B})


def cut_npz(folder):
    path = npz(folder, **{"0": A, "1": B})
    path.write_bytes(path.read_bytes()[:100])
    return path


def damaged_npz(folder):
    path = folder / "data.npz"
    np.savez_compressed(path, **{"0": np.arange(1000.0), "1": np.arange(1000.0)})
    content = bytearray(path.read_bytes())
    content[300:600] = bytes(300)
    path.write_bytes(content)
    return path


def other_member(folder):
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    return path


def pickled_npy(folder):
    path = folder / "data.npy"
    path.write_bytes(b"\x80\x04N.")
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (object_column, ["data.npy", "Python objects"]),
        (one_dimensional, ["shape (3,)", "2-D"]),
        (three_dimensional, ["shape (2, 2, 2)"]),
        (text_npy, ["text", "row 1"]),
        (complex_npy, ["complex128", "not numbers"]),
        (array_field, ["'0'", "arrays of shape (2,)"]),
        (no_rows_npy, ["no rows"]),
        (cut_npy, ["cannot read", "data.npy"]),
        (zip_as_npy, ["cannot read", "data.npy"]),
        (lengths_differ, ["'0' 3", "'1' 2"]),
        (scalar_member, ["'n'", "shape ()"]),
        (text_member, ["'0'", "text", "row 1", "'u'"]),
        (object_member, ["'0'", "data.npz", "Python objects"]),
        (cut_npz, ["cannot read", "data.npz"]),
        (damaged_npz, ["cannot read", "data.npz"]),
        (other_member, ["cannot read", "data.npz"]),
        (pickled_npy, ["cannot read", "data.npy"]),
    ],
)
def test_faults_of_numpy_files(tmp_path, make, words):
    said = message(make(tmp_path), "1")
    assert [word for word in words if word not in said] == []


def test_an_array_too_large_for_memory(tmp_path, refused):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (10**16,), "fortran_order": False, "descr": "<f8"}
    )
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", header.getvalue())
        file.writestr("y.npy", header.getvalue())
    assert "not enough memory" in refused("fit", path, "--target", "y")


@pytest.mark.parametrize("name", ["data.parquet", "data.pq", "data.npy", "data.npz"])
@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(1000)], ids=["empty", "text", "zeros"])
def test_damaged_files(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert "cannot read" in message(path)
    assert name in message(path)


def test_a_cut_parquet_file(tmp_path):
    path = parquet(tmp_path, a=np.arange(1000.0), y=np.arange(1000.0))
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    assert "cannot read" in message(path)


def test_files_that_are_not_there(tmp_path, csv):
    assert "no such file" in message(tmp_path / "none.csv")
    assert "without Parquet files" in message(tmp_path)
    said = message(csv("a,y\n1,2\n", "data.txt"))
    assert "extension" in said
    assert ".parquet" in said


def test_folders_whose_files_differ(tmp_path):
    parquet(tmp_path, "1.parquet", a=pa.array([1]), y=pa.array([1]))
    parquet(tmp_path, "2.parquet", a=pa.array([1.5]), y=pa.array([1]))
    assert "cannot read" in message(tmp_path)


def test_unknown_columns_are_answered_with_those_there_are(csv):
    path = csv("Air.Flow,Water.Temp,y\n1,2,3\n")
    said = message(path, "Y")
    assert "'Y'" in said
    assert "did you mean 'y'?" in said
    assert "'Air.Flow', 'Water.Temp', 'y'" in said
    assert "did you mean 'Air.Flow'?" in message(path, features=["AirFlow"])
    assert "did you mean" not in message(path, features=["pressure"])
    many = csv(",".join(f"c{i}" for i in range(50)) + "\n")
    assert "and 40 more" in message(many, "nothing")
    assert "'c10'" not in message(many, "nothing")


def test_features_given_twice_or_with_the_target(csv):
    path = csv("a,b,y\n1,2,3\n")
    assert "'a' is given 2 times" in message(path, features=["a", "b", "a"])
    assert "target 'y' is among" in message(path, features=["a", "y"])
    assert "no features" in message(path, features=[])


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_without_pyarrow(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_text("a,y\n1,2\n")
    monkeypatch.delitem(sys.modules, "fastloss.cli.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'fastloss[cli]'" in message(path)
    assert read(npy(tmp_path, np.ones((2, 2))), "1").y.size == 2


def test_rows_that_the_header_does_not_fit_are_skipped_where_only_names_are_wanted():
    assert arrow._parsing("skip").invalid_row_handler(None) == "skip"
