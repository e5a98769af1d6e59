"""The progress bar of a profile."""

import time

from polyglyph.clients.profile.corpus import Corpus
from polyglyph.clients.profile.tally import Tally
from polyglyph.clients.run_bar import RunBar


class ProgressBar(RunBar):
    """Shows how far a run is: share of the corpus's bytes, documents and tokens per second, time left."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def show(self, tally: Tally, corpus: Corpus) -> None:
        """Show the count as it is now."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        words = (
            f"{tally.num_finished} documents, {tally.num_finished / seconds:.1f}/s, "
            f"{tally.total.passed_tokens / seconds:.0f} tokens/s"
        )
        self.draw(words, completed=tally.end, total=max(1, corpus.num_bytes))
