"""Arrays that say they live on a GPU and lie in the memory of the host, for the simulator."""

from functools import partial

import numpy as np

from fastloss.cuda import launch


class DeviceArray:
    """A host array behind ``__cuda_array_interface__``; NumPy cannot read it, as on a GPU."""

    def __init__(self, array, index=0, read_only=False, stream=None, mask=None):
        self.array = array
        self.index = index
        self.extra = {"stream": stream, "mask": mask}
        self.read_only = read_only or not array.flags.writeable

    @property
    def __cuda_array_interface__(self):
        interface = self.array.__array_interface__
        data = interface["data"][0] if self.array.size else 0, self.read_only
        return {**interface, "data": data, "version": 3, **self.extra}

    @property
    def dtype(self):
        return self.array.dtype

    def __dlpack_device__(self):
        return 2, self.index

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion of an array on a GPU")


def device(array, **options):
    """Give an array as one on a GPU; numbers and None stay what they are."""
    return DeviceArray(array, **options) if isinstance(array, np.ndarray) else array


def host(result):
    """Give what is in a result of a call on device arrays."""
    if isinstance(result, tuple):
        return tuple(map(host, result))
    return getattr(result, "array", result)


def address(array):
    return array.__cuda_array_interface__["data"][0]


class Recorder:
    """What calls do to the driver, in order, as the driver does it."""

    def __init__(self, monkeypatch):
        self.calls = []
        for name in ("run", "fetch", "fetch_at", "send", "send_to", "active", "stream_at"):
            original = getattr(launch, name)
            monkeypatch.setattr(launch, name, partial(self._record, name, original))

    def _record(self, name, original, *arguments):
        self.calls.append((name, *arguments))
        return original(*arguments)

    def count(self, name):
        return sum(call[0] == name for call in self.calls)

    def arguments(self, name, position):
        return [call[1 + position] for call in self.calls if call[0] == name]
