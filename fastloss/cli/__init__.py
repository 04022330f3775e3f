"""The command line: ``fastloss fit``, ``predict``, ``info``, ``bench`` and ``warmup``.

Exit codes: 0 done; 1 a fit that has not converged; 2 what cannot be done, with one line on stderr;
130 interrupted; 141 nobody reads the output any more.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from fastloss import __version__
from fastloss.cli import bench, fit, info, predict, warmup
from fastloss.cli.errors import CommandError, one_line_warnings, say

CANNOT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """Give the parser of all commands; each sets ``run``, which gives the exit code."""
    top = _Parser(
        prog="fastloss",
        description="Robust linear regression on large files.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"fastloss {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in (fit, predict, info, bench, warmup):
        sub = commands.add_parser(
            command.__name__.rpartition(".")[2],
            help=command.HELP,
            description=command.DESCRIPTION,
            allow_abbrev=False,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Its arguments; default those of the process.

    Returns
    -------
    int
        The exit code, see the module.
    """
    _replace_closed()
    try:
        with one_line_warnings():
            code = _run(argv)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()
        return BROKEN_PIPE
    except CommandError as error:
        say(f"error: {error}")
    except MemoryError as error:
        say(f"error: not enough memory: {error or 'the data are too large'}")
    except UnicodeEncodeError as error:
        say(
            f"error: the output's encoding ({error.encoding}) has no "
            f"{error.object[error.start : error.end]!a}: set PYTHONIOENCODING=utf-8"
        )
    except OSError as error:
        say(f"error: {error}")
        _give_up_stdout()
    return CANNOT


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    return int(arguments.run(arguments))


def _replace_closed() -> None:
    """Where stdout or stderr is closed, Python has None: say nothing there, as print does."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _give_up_stdout() -> None:
    """Point stdout elsewhere if it takes nothing more: Python flushes it again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
