"""A wish to end a run before the end of its corpus."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from polyglyph.clients.output import say

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that was ended by the user."""


class Stop:
    """Ends a run from outside: asked once, it finishes what is in flight; asked again, it abandons that too.

    Attributes:
        asked: Nothing new is begun.
        repeated: Nothing is waited for.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.repeated = asyncio.Event()

    def ask(self) -> None:
        """Wish for the end."""
        if self.asked.is_set():
            self.repeated.set()
        self.asked.set()


@contextmanager
def ended_by_signals(stop: Stop) -> Iterator[None]:
    """Ask for the end on Ctrl-C and on SIGTERM, within a running loop."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if not stop.asked.is_set():
            say("finishing what is in flight; once more ends at once")
        stop.ask()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
