"""Which of Arrow's types are numbers, and columns of them as NumPy arrays."""

from typing import Any

import pyarrow as pa

from fastloss.typing import Array

# What becomes float64 without loss of meaning.
NUMBERS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_decimal,
    pa.types.is_null,
)
# What NumPy takes as it is, missing values becoming NaN.
DIRECT = (pa.types.is_integer, pa.types.is_float32, pa.types.is_float64)
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)


def value_type(kind: Any) -> Any:
    """Give the type of a column's values, where a dictionary holds them too."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_number(kind: Any) -> bool:
    """Whether a column of the type holds numbers."""
    return any(is_type(value_type(kind)) for is_type in NUMBERS)


def words(kind: Any) -> str:
    """Name a type as in an error message."""
    return "text" if any(is_type(kind) for is_type in TEXT) else str(kind)


def to_numpy(column: Any) -> Array:
    """Give a column of numbers, NaN where a value is missing; a view of it if it can be one."""
    kind = value_type(column.type)
    if kind != column.type:
        column = column.cast(kind)
    if not any(is_type(kind) for is_type in DIRECT):
        column = column.cast(pa.float64())
    array: Array = column.to_numpy(zero_copy_only=False)
    return array
