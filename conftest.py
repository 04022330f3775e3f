"""Which tests run: those of CUDA in numba-cuda's simulator, or under ``-m gpu`` on a GPU."""

import os
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("numba_cuda") else ["fastloss/cuda/*", "tests/cuda/*"]
if not find_spec("dask"):
    collect_ignore_glob += ["fastloss/dask/*", "tests/dask/*"]
if not find_spec("sklearn"):
    collect_ignore_glob.append("fastloss/sklearn.py")
if not find_spec("torch"):
    collect_ignore_glob.append("fastloss/torch/*")


def _on_gpu(config):
    return config.option.markexpr == "gpu"


def pytest_configure(config):
    """Choose before anything imports ``numba.cuda``, which reads this once."""
    if not _on_gpu(config):
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"


def pytest_collection_modifyitems(config, items):
    """Skip the tests that the simulator cannot stand in for."""
    if not _on_gpu(config):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: pytest -m gpu"))
