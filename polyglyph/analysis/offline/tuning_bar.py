"""The progress of a router tuning on stderr: a bar on a terminal, lines elsewhere."""

from polyglyph.analysis.offline.tuning import TuningStep
from polyglyph.clients.output import say, words_console
from polyglyph.clients.run_bar import RunBar

LINE_EVERY = 100


class TuningBar(RunBar):
    """Shows steps, loss, rate and the time left.

    Args:
        num_steps: Of the whole tuning.
    """

    def __init__(self, *, num_steps: int) -> None:
        super().__init__()
        self._num_steps = num_steps
        self._says_lines = not words_console().is_terminal

    def show(self, step: TuningStep) -> None:
        """Show a step that has just ended."""
        words = f"loss {step.loss:.3f}, {step.step / max(step.seconds, 1e-9):.1f} steps/s"
        self.draw(words, completed=step.step, total=self._num_steps)
        if self._says_lines and step.step % LINE_EVERY == 0:
            say(f"step {step.step} of {self._num_steps}, {words}")
