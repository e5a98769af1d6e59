"""The progress bar of a run, on stderr; silent where that is no terminal."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polyglyph.clients.output import words_console
from polyglyph.clients.profile.corpus import Corpus
from polyglyph.clients.profile.tally import Tally


class ProgressBar:
    """Shows how far a run is: share of the corpus's bytes, documents and tokens per second, time left."""

    def __init__(self) -> None:
        console = words_console()
        self._started = time.monotonic()
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def show(self, tally: Tally, corpus: Corpus) -> None:
        """Show the count as it is now."""
        if self._progress.disable:
            return
        seconds = max(time.monotonic() - self._started, 1e-9)
        words = (
            f"{tally.num_finished} documents, {tally.num_finished / seconds:.1f}/s, "
            f"{tally.total.passed_tokens / seconds:.0f} tokens/s"
        )
        if self._task is None:
            self._task = self._progress.add_task(words, total=max(1, corpus.num_bytes))
        self._progress.update(self._task, completed=tally.end, description=words)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
