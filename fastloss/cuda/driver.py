"""Whether there is a GPU to run on."""

from functools import cache

from numba import cuda

from fastloss.cuda.jit import SIMULATED


@cache
def why_not() -> str | None:
    """Say why kernels cannot run here; None where they can."""
    if SIMULATED or cuda.is_available():
        return None
    try:
        cuda.current_context()
    except Exception as error:  # whatever the driver says
        reason = " ".join(str(error).split()).strip(" :")
        return f"{reason} An NVIDIA driver of CUDA 12 or later is needed."
    return "no device was found"


def devices() -> list[str]:
    """Name the devices."""
    if SIMULATED:
        return ["numba-cuda's simulator"]
    return [
        device.name.decode() if isinstance(device.name, bytes) else device.name
        for device in cuda.gpus
    ]


def require(home: str) -> None:
    """Raise an error where kernels cannot run on the device ``home``.

    Raises
    ------
    RuntimeError
        If there is no driver or no device.
    ValueError
        If there are devices, but not this one.
    """
    reason = why_not()
    if reason is not None:
        raise RuntimeError(f"CUDA kernels cannot run: {reason}")
    index = home.partition(":")[2]
    if index and not SIMULATED and int(index) >= len(cuda.gpus):
        raise ValueError(f"device must be one of {len(cuda.gpus)} from cuda:0 on, got {home}")
