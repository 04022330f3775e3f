"""Whether there is a GPU to run on, told by drivers that are not there."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastloss as fl
from fastloss.cuda import driver, launch
from tests.cuda.fake import device


@pytest.fixture
def pretend(monkeypatch):
    """Have a driver of devices with these names, and of this error where there is no context."""

    def replace(names, error=None):
        def current_context():
            if error is not None:
                raise error

        monkeypatch.setattr(driver, "SIMULATED", False)
        monkeypatch.setattr(
            driver,
            "cuda",
            SimpleNamespace(
                is_available=lambda: bool(names),
                current_context=current_context,
                gpus=[SimpleNamespace(name=name) for name in names],
            ),
        )

    driver.why_not.cache_clear()
    yield replace
    driver.why_not.cache_clear()


def test_a_driver_with_a_device_can_run_kernels(pretend):
    pretend([b"NVIDIA H100", "NVIDIA A100"])
    assert driver.why_not() is None
    assert driver.devices() == ["NVIDIA H100", "NVIDIA A100"]
    for home in ("cuda", "cuda:0", "cuda:1"):
        driver.require(home)


def test_why_kernels_cannot_run_is_what_the_driver_says(pretend):
    pretend([], RuntimeError("\nError at driver init:\n  no libcuda.so was found:\n"))
    reason = "Error at driver init: no libcuda.so was found An NVIDIA driver of CUDA 12 or later"
    assert driver.why_not() == f"{reason} is needed."
    with pytest.raises(RuntimeError, match=f"CUDA kernels cannot run: {reason}"):
        fl.L1Loss()(device(np.ones(3)), 0.0)
    with pytest.raises(RuntimeError, match=f"CUDA kernels cannot run: {reason}"):
        fl.L1Loss()(np.ones(3), 0.0, device="cuda")


def test_a_driver_without_a_device_is_told(pretend):
    pretend([])
    assert driver.why_not() == "no device was found"


def test_a_device_that_is_not_there_is_refused_before_anything_is_sent(pretend, monkeypatch):
    pretend(["NVIDIA H100", "NVIDIA H100"])
    monkeypatch.setattr(launch, "send", lambda *_: pytest.fail("an array was sent"))
    with pytest.raises(ValueError, match="device must be one of 2 from cuda:0 on, got cuda:2"):
        fl.L1Loss()(np.ones(3), 0.0, device="cuda:2")


def test_the_driver_is_asked_once(pretend, monkeypatch):
    pretend([], RuntimeError("none"))
    assert driver.why_not() == driver.why_not()
    monkeypatch.setattr(driver, "cuda", None)
    assert driver.why_not() == "none An NVIDIA driver of CUDA 12 or later is needed."
