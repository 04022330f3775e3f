"""A line that says what is being done, where someone watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Give a function that shows a line on stderr, or does nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:  # whoever needs rich for more than this will say so
        yield _ignore
        return
    with Console(stderr=True).status("") as status:
        yield lambda line: status.update(Text(line))


def watched() -> bool:
    """Whether a bar can be shown to someone."""
    return sys.stderr.isatty() and find_spec("rich") is not None


def _ignore(line: str) -> None:
    pass
