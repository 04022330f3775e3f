"""Batches of Parquet files are as long as is asked for."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastloss.stream.files import Files

N = 103
A, B = np.arange(2.0 * N).reshape(2, N)
BUFFER = 4096


@pytest.fixture(params=[5, 20, 1000], ids="groups of {}".format)
def folder(request, tmp_path):
    """Files of 40, 0, 1 and 62 rows."""
    for i, (low, high) in enumerate([(0, 40), (40, 40), (40, 41), (41, N)]):
        table = pa.table({"b": B[low:high], "a": A[low:high]})
        pq.write_table(table, tmp_path / f"{i}.parquet", row_group_size=request.param)
    return tmp_path


def taken(batches, sizes):
    """The lengths of batches, and the numbers in them."""
    found = []
    for size in sizes:
        if (batch := batches.take(size)) is None:
            break
        assert 0 < len(batch) <= size
        found.append(batch)
    columns = [
        np.concatenate([batch.column(name).to_numpy() for batch in found]) for name in ("a", "b")
    ]
    return [len(batch) for batch in found], np.array(columns)


@pytest.mark.parametrize(
    ("low", "sizes", "lengths"),
    [
        (0, [30] * 9, [30, 10, 1, 30, 30, 2]),
        (0, [7, 33, 5, 62, 1], [7, 33, 1, 62]),
        (0, [1, 2, 100, 3, 50, 9], [1, 2, 37, 1, 50, 9]),
        (3, [30, 7, 1, 99], [30, 7, 1, 62]),
        (39, [30, 30, 30, 30, 30], [1, 1, 30, 30, 2]),
        (50, [30, 30, 30], [30, 23]),
        (102, [30, 30], [1]),
    ],
)
def test_they_end_where_files_do_and_where_they_were_asked_to(folder, low, sizes, lengths):
    batches = Files(folder).batches(["a", "b"], BUFFER, low)
    found, columns = taken(batches, sizes)
    assert found == lengths
    np.testing.assert_array_equal(columns, [A[low:][: sum(found)], B[low:][: sum(found)]])


class WithoutReader:
    """A Parquet file whose batches keep their length."""

    def __init__(self, file):
        self.iter_batches, self.close = file.iter_batches, file.close


def test_batches_that_keep_their_length_are_cut(folder, monkeypatch):
    files, opened = Files(folder), Files._open
    monkeypatch.setattr(Files, "_open", lambda *given, **how: WithoutReader(opened(*given, **how)))
    lengths, columns = taken(files.batches(["a", "b"], BUFFER, 3), [30, 7, 1, *[9] * 20])
    assert sum(lengths) == 100
    np.testing.assert_array_equal(columns, [A[3:], B[3:]])
