"""The libraries of device arrays, each with the few operations that the tests ask of it."""

import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided


class Kind:
    """What the libraries have in common."""

    def lay(self, array, shift=0):
        """Send an array with the strides it has on the host, ``shift`` elements into memory."""
        if not array.size:
            return self.send(array)
        size = array.itemsize
        corner = array[tuple(slice(None, None, -1 if step < 0 else 1) for step in array.strides)]
        last = sum((n - 1) * step for n, step in zip(corner.shape, corner.strides, strict=True))
        memory = np.zeros(shift + last // size + 1, array.dtype)
        memory[shift:] = as_strided(corner, (last // size + 1,), (size,))
        start = shift - sum(
            (n - 1) * step // size
            for n, step in zip(array.shape, array.strides, strict=True)
            if step < 0
        )
        return self.view(self.send(memory), start, array.shape, array.strides)

    def all_to_host(self, results):
        """Copy a dictionary of results to the host; numbers stay what they are."""
        return {name: self.host_or_number(result) for name, result in results.items()}

    def host_or_number(self, result):
        return result if isinstance(result, float) else self.host(result)

    @staticmethod
    def give_back_memory():
        """Free what the library keeps for later, which the other libraries may need."""

    def synchronize(self):
        from numba import cuda

        cuda.synchronize()


class Torch(Kind):
    name = "torch"
    device = "cuda"

    def __init__(self):
        self.torch = pytest.importorskip("torch", reason="torch is not installed")
        if self.device == "cuda" and not self.torch.cuda.is_available():
            pytest.skip("this build of torch sees no GPU")

    def send(self, array, index=0):
        device = f"cuda:{index}" if self.device == "cuda" else self.device
        return self.torch.tensor(np.array(array), device=device)

    def view(self, memory, start, shape, strides):
        if min(strides, default=0) < 0:
            pytest.skip("torch has no negative strides")
        steps = [step // memory.itemsize for step in strides]
        return self.torch.as_strided(memory, shape, steps, start)

    def host(self, array):
        return array.cpu().numpy()

    def owns(self, array):
        return isinstance(array, self.torch.Tensor) and array.device.type == self.device

    def index(self, array):
        return array.device.index

    def tile(self, array, count):
        return self.send(array).repeat(count)

    @contextmanager
    def stream(self):
        """Make a stream of one's own the current one; give its address."""
        stream = self.torch.cuda.Stream()
        with self.torch.cuda.stream(stream):
            yield stream.cuda_stream

    def on_stream(self, array, address):
        return array

    @contextmanager
    def waiting_is_an_error(self):
        """Make torch's own operations raise where they would wait for the device."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
            self.torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            self.torch.cuda.set_sync_debug_mode("default")

    def count_devices(self):
        return self.torch.cuda.device_count()

    @staticmethod
    def give_back_memory():
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


class Cupy(Kind):
    name = "cupy"

    def __init__(self):
        self.cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

    def send(self, array, index=0):
        with self.cupy.cuda.Device(index):
            return self.cupy.array(array)

    def view(self, memory, start, shape, strides):
        pointer = memory.data + start * memory.itemsize
        return self.cupy.ndarray(shape, memory.dtype, pointer, strides)

    def host(self, array):
        return array.get()

    def owns(self, array):
        return isinstance(array, self.cupy.ndarray)

    def index(self, array):
        return array.device.id

    def tile(self, array, count):
        return self.cupy.tile(self.send(array), count)

    @contextmanager
    def stream(self):
        """Make a stream of one's own the current one; give its address."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            yield stream.ptr

    def on_stream(self, array, address):
        return array

    @contextmanager
    def waiting_is_an_error(self):
        """Nothing: CuPy has no such mode."""
        yield

    def count_devices(self):
        return self.cupy.cuda.runtime.getDeviceCount()

    @staticmethod
    def give_back_memory():
        cupy = sys.modules.get("cupy")
        if cupy is not None:
            cupy.get_default_memory_pool().free_all_blocks()


class Numba(Kind):
    name = "numba"

    def send(self, array, index=0):
        from numba import cuda

        with cuda.gpus[index]:
            return cuda.to_device(np.array(array))

    def view(self, memory, start, shape, strides):
        return View(memory, start, shape, strides)

    def host(self, array):
        return array.host() if isinstance(array, View) else array.copy_to_host()

    def owns(self, array):
        return hasattr(array, "__cuda_ndarray__")

    def index(self, array):
        return array.gpu_data.context.device.id

    def tile(self, array, count):
        from numba import cuda

        whole = cuda.device_array(count * array.size, array.dtype)
        for k in range(count):
            whole[k * array.size : (k + 1) * array.size].copy_to_device(array)
        return whole

    @contextmanager
    def stream(self):
        """Make a stream; it is Numba's arrays that know theirs. Give its address."""
        from numba import cuda

        stream = cuda.stream()
        yield int(stream.handle)

    def on_stream(self, array, address):
        from numba import cuda

        return array.bind(cuda.external_stream(address))

    def count_devices(self):
        from numba import cuda

        return len(cuda.gpus)


class View:
    """Device memory of Numba's seen with any strides: an array of a library that nobody knows."""

    def __init__(self, memory, start, shape, strides):
        self.memory, self.start, self.shape, self.strides = memory, start, shape, strides

    @property
    def __cuda_array_interface__(self):
        interface = self.memory.__cuda_array_interface__
        address = interface["data"][0] + self.start * np.dtype(interface["typestr"]).itemsize
        return {
            **interface,
            "data": (address, False),
            "shape": self.shape,
            "strides": self.strides,
        }

    def host(self):
        memory = KINDS["numba"]().host(self.memory)
        return as_strided(memory[self.start :], self.shape, self.strides)


KINDS = {kind.name: kind for kind in (Torch, Cupy, Numba)}
