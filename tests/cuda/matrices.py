"""A library of matrices, for the simulator: NumPy's, of arrays that say they live on a GPU."""

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tests.cuda.fake import DeviceArray


class Matrix(NDArrayOperatorsMixin, DeviceArray):
    """A device array with the operations that the linear model asks of CuPy's."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None):
        return wrapped(getattr(ufunc, method)(*map(plain, inputs)))

    def __getitem__(self, index):
        return Matrix(self.array[index])

    def __setitem__(self, index, value):
        self.array[index] = plain(value)

    def __float__(self):
        return float(self.array)

    @property
    def T(self):  # noqa: N802
        return Matrix(self.array.T)

    @property
    def ndim(self):
        return self.array.ndim

    def sum(self, axis=None):
        return wrapped(self.array.sum(axis))

    def min(self):
        return wrapped(self.array.min())


def plain(value):
    return value.array if isinstance(value, DeviceArray) else value


def wrapped(value):
    return Matrix(np.asarray(value))


class Products:
    """The algebra of such matrices, see :class:`fastloss.algebra.Algebra`."""

    where = staticmethod(lambda *arguments: wrapped(np.where(*map(plain, arguments))))

    def take(self, value):
        return Matrix(plain(value))

    def host(self, array):
        return plain(array).copy()

    def wide(self, array):
        return Matrix(array.array.astype(np.float64, copy=False), array.index)

    def is_wide(self, array):
        return array.dtype == np.float64

    def zeros(self, size):
        return Matrix(np.zeros(size))

    def finite(self, array):
        return np.isfinite(plain(array))
