"""The progress bar of a run, on stderr; silent where that is no terminal."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polyglyph.clients.output import words_console


class RunBar:
    """Shows a share, words beside it and the time left; subclasses say what the words are."""

    def __init__(self) -> None:
        console = words_console()
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def draw(self, words: str, *, completed: int, total: int) -> None:
        """Draw how far the run is."""
        if self._progress.disable:
            return
        if self._task is None:
            self._task = self._progress.add_task(words, total=total)
        self._progress.update(self._task, completed=completed, total=total, description=words)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
