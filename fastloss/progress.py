"""How far a pass over the rows has come, for whoever watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

# Called with the number of the pass, the rows that it has read, and the rows there are.
Watch: TypeAlias = Callable[[int, int, int], object]


@contextmanager
def watching(progress: "bool | Watch") -> Iterator[Watch | None]:
    """Give what is told how far a pass has come: a bar, the caller's own function, or nothing.

    Raises
    ------
    TypeError
        If ``progress`` is neither a bool nor callable.
    ImportError
        If a bar needs rich, which is not installed.
    """
    if callable(progress):
        yield progress
        return
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be a bool or callable, got {progress!r}")
    if not progress:
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError as error:
        raise ImportError('progress=True needs rich: pip install "fastloss[cli]"') from error
    columns = (
        TextColumn("pass {task.fields[number]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[speed]} rows/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, number=0, speed="-")

        def show(number: int, read: int, rows: int) -> None:
            known = bar.tasks[0]
            if known.fields["number"] != number:
                bar.reset(task, total=rows, number=number, speed="-")
            bar.update(task, completed=read)
            if known.speed:
                bar.update(task, speed=f"{known.speed:,.0f}")

        yield show
