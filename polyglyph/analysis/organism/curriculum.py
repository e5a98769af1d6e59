"""Curricula: what a training asks of the thing that is taught, whichever world it is."""

from collections.abc import Sequence
from random import Random
from typing import Protocol

from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.mixture import draw_lessons
from polyglyph.analysis.organism.tokenizer import aligned_groups, build_tokenizer, token_scripts
from polyglyph.analysis.organism.variant import Units
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS


class Curriculum(Protocol):
    """What is taught, and in which words."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer; its size is the model's vocabulary."""

    @property
    def scripts(self) -> Sequence[str]:
        """The scripts that are taught, in a fixed order."""

    @property
    def token_scripts(self) -> Sequence[str | None]:
        """The script of each token id, None for what has none."""

    @property
    def aligned_groups(self) -> Sequence[Sequence[int]]:
        """Token ids that write the same thing in different scripts."""

    def lessons(self, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
        """Draw the lessons of one step; `progress` is how much of the training is done, 0 to 1."""


class WorldCurriculum:
    """Teaches the synthetic world.

    Args:
        world: Which one.
        units: What the tokenizer keeps whole.
    """

    def __init__(self, world: World, units: Units = "syllables") -> None:
        self._world, self._units = world, units
        self.tokenizer = build_tokenizer(world, units)
        self.scripts: Sequence[str] = SCRIPTS
        self.token_scripts: Sequence[str | None] = token_scripts(self.tokenizer)

    @property
    def aligned_groups(self) -> Sequence[Sequence[int]]:
        """The four forms of each syllable, suffix and word; none when the tokenizer keeps characters only."""
        return aligned_groups(self.tokenizer, self._world) if self._units == "syllables" else ()

    def lessons(self, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
        """Draw the lessons of one step."""
        return draw_lessons(self._world, rng, num_lessons=num_lessons, progress=progress)
