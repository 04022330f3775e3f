"""What the command line says when something cannot be done: one line, never a traceback."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INSTALL = "pip install 'fastloss[cli]'"


class CommandError(Exception):
    """What was asked for cannot be done; the message is for the user, as one line."""


def needs_pyarrow(kind: str) -> CommandError:
    """Give the error for files of a kind that cannot be read or written without pyarrow."""
    return CommandError(f"{kind} files need pyarrow: {INSTALL}")


def say(text: object) -> None:
    """Write one line to stderr, under the program's name.

    Parameters
    ----------
    text : object
        Its line breaks (a file name may hold some) become blanks.
    """
    line = " ".join(part.strip() for part in str(text).splitlines())
    sys.stderr.write(f"fastloss: {line}\n")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show Python's warnings as one line each, without the source line they come from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises into an error that names the file.

    Parameters
    ----------
    path : Path
        The file that is read.

    Raises
    ------
    CommandError
        If the file cannot be read.
    """
    # pyarrow cannot raise through its own threads and would print a traceback of a damaged file;
    # what is wrong comes as an exception besides.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    except (CommandError, MemoryError):
        raise
    except UnicodeDecodeError:
        raise CommandError(f"cannot read {path}: it is not UTF-8") from None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from None
    # The readers promise no set of exceptions: damaged files come out as zlib.error, BadZipFile,
    # EOFError, KeyError, SyntaxError and others.
    except Exception as error:
        raise CommandError(f"cannot read {path}: {error or type(error).__name__}") from error
    finally:
        sys.unraisablehook = hook
