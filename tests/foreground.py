"""Processes that hear Ctrl-C, also where a shell has started them in the background."""

import signal


def hear_interrupts() -> None:
    """Undo that a shell has what it runs in the background ignore Ctrl-C, as children would."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
