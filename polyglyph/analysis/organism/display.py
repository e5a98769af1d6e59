"""Display: a training's progress on stderr, as a bar on a terminal and as lines elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polyglyph.analysis.organism import checkpoint
from polyglyph.analysis.organism.losses import Loss

LINE_EVERY = 100


class TrainingDisplay:
    """Shows steps, loss, rate and the time left; call it after every step."""

    def __init__(self, *, num_steps: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.1f} steps/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=num_steps, loss=float("nan"), rate=0.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: checkpoint.Progress, loss: Loss) -> None:
        """Show a step that has just ended."""
        completion = float(loss.completion.detach())
        rate = progress.step / progress.seconds
        self._bar.update(self._task, completed=progress.step, loss=completion, rate=rate)
        if not self._console.is_terminal and progress.step % LINE_EVERY == 0:
            self._console.print(
                f"step {progress.step} of {progress.run.num_steps}, loss {completion:.3f}, {rate:.1f} steps/s"
            )
