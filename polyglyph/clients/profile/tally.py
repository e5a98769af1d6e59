"""Counts what a run has done so far."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from polyglyph.clients.profile.document import Document, Reason, Skip
from polyglyph.clients.profile.usage import Usage

NUM_EXAMPLES = 5
"""Skipped places to name for each reason."""


@dataclass
class Tally:
    """What a run has done so far.

    Attributes:
        num_finished: Documents that were counted by the server in this run.
        num_finished_before: Documents that an earlier run had finished.
        num_cut: Documents that were over the model's context and sent in windows.
        num_windows: Windows of these.
        usage: Tokens by tag.
        total: Tokens of all tags.
        skipped: How much was skipped for each reason.
        examples: Some of it.
        end: Bytes of the corpus that were read.
    """

    num_finished: int = 0
    num_finished_before: int = 0
    num_cut: int = 0
    num_windows: int = 0
    usage: defaultdict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    total: Usage = field(default_factory=Usage)
    skipped: Counter[Reason] = field(default_factory=Counter)
    examples: defaultdict[Reason, list[Skip]] = field(default_factory=lambda: defaultdict(list))
    end: int = 0

    def count(self, document: Document, usage: Usage) -> None:
        """Count the tokens of one request."""
        self.usage[document.tag] += usage
        self.total += usage

    def skip(self, skip: Skip) -> None:
        """Count something that was skipped."""
        self.skipped[skip.reason] += 1
        if len(self.examples[skip.reason]) < NUM_EXAMPLES:
            self.examples[skip.reason].append(skip)
