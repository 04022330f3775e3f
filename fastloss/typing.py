"""Names for the arrays that annotations speak of."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[Any]]
