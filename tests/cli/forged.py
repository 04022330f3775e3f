"""Files that claim more than they hold."""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 12_345


def parquet(path, claimed):
    """Write a Parquet file of 12,345 rows whose footer claims another number."""
    column = np.arange(float(ROWS))
    pq.write_table(pa.table({"a": column, "y": 2 * column}), path)
    content = path.read_bytes()
    body, footer = _split(content)
    assert footer.count(_number(ROWS)) == 6  # of the file, its group and each column, twice
    footer = footer.replace(_number(ROWS), _number(claimed))
    path.write_bytes(body + footer + struct.pack("<I", len(footer)) + content[-4:])
    assert pq.ParquetFile(path).metadata.num_rows == claimed
    return path


def _split(content):
    size = struct.unpack("<I", content[-8:-4])[0]
    return content[: -8 - size], content[-8 - size : -8]


def _number(value):
    """Give an integer as Thrift's compact protocol has it."""
    value, found = 2 * value, b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])
