"""Folders of compiled kernels that are full, damaged, read-only or shared."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.hazards.outcome import Outcome, Skipped

ROOT = Path(__file__).parents[2]
CALL = "import fastloss as fl; print(fl.SmoothL1Loss(beta=0.5)([1.0], [0.0]))"
ANSWER = "0.75"
WARNING = "cannot keep compiled kernels"
# Without the others Numba goes on to the package's own folder, and from there to the user's.
ONLY_THE_VARIABLE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
NO_VARIABLE = {"NUMBA_CACHE_DIR": "", "NUMBA_CACHE_LOCATOR_CLASSES": ""}


def called(*, folder=None, root=ROOT, before=(), warned=False, variables=None, **options):
    """Call in a new process: the answer has to be right, with a warning where one is due."""
    environment = os.environ | {"PYTHONPATH": str(root)} | (variables or {})
    if folder is not None:
        environment["NUMBA_CACHE_DIR"] = str(folder)
    ended = subprocess.run(
        [*before, sys.executable, "-W", "always::RuntimeWarning", "-c", CALL],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
        check=False,
        **options,
    )
    found = ended.stderr.count(WARNING)
    right = ended.returncode == 0 and ended.stdout.split() == [ANSWER] and found == warned
    notes = [] if right else [f"{ended.returncode} {ended.stdout} {ended.stderr[-1000:]}"]
    return Outcome(right=int(right), wrong=int(not right), warnings=found, notes=notes)


def together(*outcomes):
    whole = Outcome()
    for outcome in outcomes:
        whole.plus(outcome)
    return whole


@contextmanager
def scratch():
    """A folder that other users may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def read_only_install(_):
    """A package in folders without the permission to write: kernels go home, where a home is."""
    # Permissions do not bind root, unless it gives its powers up.
    before = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    with scratch() as place:
        package = place / "install" / "fastloss"
        shutil.copytree(ROOT / "fastloss", package, ignore=shutil.ignore_patterns("__pycache__"))
        (place / "home").mkdir()
        for path in [package.parent, package, *package.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        refuses_to_write(package, before)
        outcomes = []
        for home, warned in [(place / "home", False), (package / "home", True)]:
            variables = NO_VARIABLE | {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
            outcomes.append(
                called(root=package.parent, before=before, warned=warned, variables=variables)
            )
        kept = len(list((place / "home").rglob("*.bin"))) > 0
        return together(*outcomes, Outcome(right=int(kept), wrong=int(not kept)))


def refuses_to_write(folder, before):
    try:
        ended = subprocess.run([*before, "touch", str(folder / "new")], capture_output=True)
    except OSError as error:
        raise Skipped(f"permissions do not bind root, and there is no setpriv: {error}") from error
    if ended.returncode == 0:
        raise Skipped("a folder without the permission to write can be written here")


def full_disk(_):
    """A file system of its own with less room than a kernel takes."""
    with scratch() as place:
        mount = f'mount -t tmpfs -o size=8k none {place} && exec "$@"'
        before = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
        try:
            subprocess.run([*before, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skipped(f"no file system of one's own here: {error}") from error
        variables = ONLY_THE_VARIABLE
        return called(folder=place, before=before, warned=True, variables=variables)


def limited_files(_):
    """The system refuses to let a file grow, in the middle of writing it."""
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    with scratch() as place:
        outcome = called(folder=place, warned=True, preexec_fn=limit)
        left = [path for path in place.rglob("*") if path.is_file() and path.stat().st_size]
        return together(outcome, Outcome(right=not left, wrong=len(left)))


def tested(name, _):
    """Run the tests of compiled kernels whose name has the word, once more."""
    path = ROOT / "tests" / "cpu" / "test_cache.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, "-m", "slow or not slow", "-k", name, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    right = ended.returncode == 0
    notes = [] if right else [ended.stdout[-1000:]]
    return Outcome(right=int(right), wrong=int(not right), notes=notes)


no_folder, missing, damaged, at_once, two_versions, edited = (
    partial(tested, name)
    for name in (
        "without_a_writable",
        "that_is_not_there",
        "damaged",
        "eight",
        "two_versions",
        "loaded_stale",
    )
)
