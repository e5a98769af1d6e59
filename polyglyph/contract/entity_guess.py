"""The guess from words: tables of what a question speaks about say in which script it was learned."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from polyglyph.contract.base import Document, ScriptCode

MAX_WORDS = 200_000
MAX_SUFFIXES = 20_000

RomanisedWord = Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]


class EntityGuess(Document):
    """Guesses from the words of the user's text, romanised by `polyglyph.routing.scripts.romanised`.

    What is looked at, in this order; the first that says anything decides, and when it names two scripts there is no
    guess: the entities' words in `words`; in `suffixes`, the longest of each word; the entities' own script, if asked
    for; then the other words in `words`, and in `suffixes`.

    Attributes:
        words: Source script by romanised word.
        suffixes: Source script by the end of romanised words.
        by_entity_script: Take the script that the entities are written in, where the tables do not know them and it is
            not the text's own.
    """

    kind: Literal["entities"]
    words: dict[RomanisedWord, ScriptCode] = Field(default_factory=dict, max_length=MAX_WORDS)
    suffixes: dict[RomanisedWord, ScriptCode] = Field(default_factory=dict, max_length=MAX_SUFFIXES)
    by_entity_script: bool = False

    def source_of(
        self, *, entities: Sequence[str], others: Sequence[str], entity_script: str | None = None
    ) -> str | None:
        """Guess the source script.

        Args:
            entities: Romanised words of what the text speaks about.
            others: The text's other words, romanised.
            entity_script: Script that the entities are written in, where it is not the text's.

        Returns:
            A script; None when nothing is known, or two scripts are.
        """
        own = {entity_script} if self.by_entity_script and entity_script is not None else set()
        found = self._in_tables(entities) or own or self._in_tables(others)
        return found.pop() if len(found) == 1 else None

    def sources(self) -> frozenset[str] | None:
        """Give every script that can be guessed; None where any can."""
        return None if self.by_entity_script else frozenset((*self.words.values(), *self.suffixes.values()))

    def _in_tables(self, words: Sequence[str]) -> set[str]:
        return self._in_words(words) or self._in_suffixes(words)

    def _in_words(self, words: Iterable[str]) -> set[str]:
        return {self.words[word] for word in words if word in self.words}

    def _in_suffixes(self, words: Iterable[str]) -> set[str]:
        found = (self._of_longest_suffix(word) for word in words)
        return {script for script in found if script is not None}

    def _of_longest_suffix(self, word: str) -> str | None:
        first = max(0, len(word) - self._longest_suffix)
        ends = (word[start:] for start in range(first, len(word)))
        return next((self.suffixes[end] for end in ends if end in self.suffixes), None)

    @cached_property
    def _longest_suffix(self) -> int:
        return max(map(len, self.suffixes), default=0)
