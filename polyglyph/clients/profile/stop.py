"""A wish to end a run before the end of its corpus."""

import asyncio


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
