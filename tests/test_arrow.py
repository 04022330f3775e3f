"""Columns of pyarrow as arrays."""

import numpy as np
import pyarrow as pa
import pytest

from fastloss.arrow import to_numpy

VALUES = [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "kind", [pa.float64(), pa.float32(), pa.int8(), pa.uint64(), pa.float16(), pa.decimal128(5, 2)]
)
@pytest.mark.parametrize("encode", [False, True], ids=["plain", "dictionary"])
def test_numbers_of_every_type(kind, encode):
    column = pa.chunked_array([pa.array(VALUES).cast(kind)])
    np.testing.assert_array_equal(
        to_numpy(column.dictionary_encode() if encode else column), VALUES
    )


@pytest.mark.parametrize("encode", [False, True], ids=["plain", "dictionary"])
def test_missing_values_are_nan(encode):
    array = pa.array([1.0, None, 4.0])
    column = pa.chunked_array([array.dictionary_encode() if encode else array])
    np.testing.assert_array_equal(to_numpy(column), [1.0, np.nan, 4.0])
