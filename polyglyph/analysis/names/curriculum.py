"""The curriculum of real names: what `organism.training` asks of what it teaches."""

from collections.abc import Sequence
from random import Random

from polyglyph.analysis.names.atlas import Atlas
from polyglyph.analysis.names.lesson import draw_city_lessons
from polyglyph.analysis.names.script import SCRIPTS
from polyglyph.analysis.names.tokenizer import aligned_word_groups, build_name_tokenizer, name_token_scripts
from polyglyph.analysis.organism.lesson import Lesson


class NamesCurriculum:
    """Teaches an atlas.

    Args:
        atlas: Which one.
    """

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self.tokenizer = build_name_tokenizer(atlas)
        self.scripts: Sequence[str] = SCRIPTS
        self.token_scripts: Sequence[str | None] = name_token_scripts(self.tokenizer)

    @property
    def aligned_groups(self) -> Sequence[Sequence[int]]:
        """The nine forms of each whole word; names are not aligned."""
        return aligned_word_groups(self.tokenizer, self._atlas)

    def lessons(self, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
        """Draw the lessons of one step."""
        return draw_city_lessons(self._atlas, rng, num_lessons=num_lessons, progress=progress)
