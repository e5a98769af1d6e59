"""The progress bar of a run, on stderr; silent where that is no terminal."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polyglyph.clients.output import words_console


class ProgressBar:
    """Shows how many of the answers are there, how many come in a second, and the time left."""

    def __init__(self) -> None:
        console = words_console()
        self._begun: tuple[float, int] | None = None
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def show(self, done: int, due: int) -> None:
        """Show how far the run is."""
        if self._progress.disable:
            return
        now = time.monotonic()
        started, before = self._begun = self._begun or (now, done)
        words = f"{done} of {due} answers, {(done - before) / max(now - started, 1e-9):.0f}/s"
        if self._task is None:
            self._task = self._progress.add_task(words, total=due)
        self._progress.update(self._task, completed=done, total=due, description=words)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
