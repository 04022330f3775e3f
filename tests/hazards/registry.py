"""The one table of hazards."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.hazards import caches, failures, forks, interrupts, memory, pools, threads
from tests.hazards.outcome import Outcome

LAYERS = ("omp", "workqueue", "tbb")
ANY = (None,)


@dataclass(frozen=True)
class Hazard:
    """What is tried, by a function of the right answers' digest."""

    name: str
    run: Callable[[str], Outcome]
    layers: tuple[str | None, ...] = LAYERS
    # Attempts that are enough to find what is rare, and that are enough for a look.
    times: int = 10
    quick: int = 1
    deadline: float = 180.0
    # Tried with nothing beside it, as it is timed.
    alone: bool = False


HAZARDS = [
    Hazard("7 Python threads at once", threads.many),
    Hazard("ThreadPoolExecutor", threads.executor),
    Hazard("Dask's threads", threads.dask),
    Hazard("within somebody's prange", threads.within_prange),
    Hazard("beside somebody's parallel kernel", threads.beside_parallel),
    Hazard("ProcessPoolExecutor by fork", pools.fork),
    Hazard("ProcessPoolExecutor by spawn", pools.spawn),
    Hazard("ProcessPoolExecutor by forkserver", pools.forkserver),
    Hazard("joblib with loky", pools.loky),
    Hazard("joblib with threading", pools.threading),
    Hazard("joblib with multiprocessing", pools.processes),
    Hazard("os.fork before any call", forks.before_any_call),
    Hazard("os.fork after parallel calls, twice", forks.after_calls),
    Hazard("os.fork while threads call", forks.amid_calls),
    Hazard("os.fork after somebody's parallel kernel", forks.after_kernels_of_others),
    Hazard("os.fork after it, then import fastloss", forks.before_the_import),
    Hazard("kernels: no folder can be written", caches.no_folder, ANY),
    Hazard("kernels: a folder that is not there", caches.missing, ANY),
    Hazard("kernels: a read-only install", caches.read_only_install, ANY),
    Hazard("kernels: a full disk", caches.full_disk, ANY),
    Hazard("kernels: files may not grow", caches.limited_files, ANY),
    Hazard("kernels: files that are damaged", caches.damaged, ANY, times=5),
    Hazard("kernels: 8 processes compile at once", caches.at_once, ANY, times=5),
    Hazard("kernels: two versions in one folder", caches.two_versions, ANY, times=5),
    Hazard("kernels: formulas edited in place", caches.edited, ANY, times=5),
    Hazard("Ctrl-C: mean of 1e9 float32", interrupts.mean, ANY, alone=True),
    Hazard("Ctrl-C: the same on one thread", interrupts.one_thread, ANY, alone=True),
    Hazard("Ctrl-C: value and gradient of 1e9 float32", interrupts.gradient, ANY, alone=True),
    Hazard("Ctrl-C: mean of 1e9 float16, by pieces", interrupts.pieces, ANY, alone=True),
    Hazard("Ctrl-C: linear model, 1e9 float32", interrupts.linear, ANY, alone=True),
    Hazard("Ctrl-C: during the first calls", interrupts.first_calls, ANY, alone=True),
    Hazard("memory: 1e4 calls of each function", memory.flat, ANY, times=1, deadline=900.0),
    Hazard("calls that are refused", failures.bad_arguments, ANY),
    Hazard("results larger than any memory", failures.beyond_memory, ANY),
    Hazard("memory is used up", failures.without_memory, ANY),
]
