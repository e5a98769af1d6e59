"""The progress bar of an evaluation."""

import time

from polyglyph.clients.run_bar import RunBar


class ProgressBar(RunBar):
    """Shows how many of the answers are there, how many come in a second, and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: tuple[float, int] | None = None

    def show(self, done: int, due: int) -> None:
        """Show how far the run is."""
        now = time.monotonic()
        started, before = self._begun = self._begun or (now, done)
        words = f"{done} of {due} answers, {(done - before) / max(now - started, 1e-9):.0f}/s"
        self.draw(words, completed=done, total=due)
