"""Words written in Latin letters, so that one table finds a name in whatever script it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import icu

from polyglyph.routing.scripts.dominant import script_of
from polyglyph.routing.scripts.entities import MIN_LETTERS, words_apart

MAX_GUESSED_CHARACTERS = 4_096
"""A longer text is judged by its first and last halves of this many characters, which take some milliseconds."""

LONGEST_WORD = 64
"""Letters of a longer word, which no table has, that are romanised: the last ones, for its suffix."""

UNSPACED = frozenset({"Hani", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr"})
"""Scripts that put no spaces between words."""


@dataclass(frozen=True)
class RomanisedWords:
    """The words of a text, romanised, in their order; runs of an unspaced script are followed by the words in them.

    Attributes:
        entities: Those of what it speaks about: in another script than the text, or quoted.
        others: The rest.
    """

    entities: tuple[str, ...]
    others: tuple[str, ...]


def romanised_words(text: str) -> RomanisedWords:
    """Give the words of a text in Latin letters, those of what it speaks about apart from the rest.

    Args:
        text: Any string. Of one longer than `MAX_GUESSED_CHARACTERS` the middle is left out.
    """
    if len(text) > MAX_GUESSED_CHARACTERS:
        half = MAX_GUESSED_CHARACTERS // 2
        text = f"{text[:half]}\n{text[-half:]}"
    words = words_apart(text)
    return RomanisedWords(entities=_all_romanised(words.entities), others=_all_romanised(words.others))


@lru_cache(maxsize=65_536)
def romanised(word: str) -> str:
    """Write a word in `a` to `z` and digits: ICU's Any-Latin, Latin-ASCII, in lower case, all else left out.

    Args:
        word: Any string; of one longer than `LONGEST_WORD` the last characters.

    Returns:
        Up to 64 characters, the last ones; empty where nothing is left, as of a script that ICU cannot transliterate.
    """
    latin = _to_latin().transliterate(word[-LONGEST_WORD:])
    return "".join(character for character in latin.lower() if character.isascii() and character.isalnum())[-64:]


def _all_romanised(words: tuple[str, ...]) -> tuple[str, ...]:
    pieces = (piece for word in words for piece in (word, *_words_in(word)))
    return tuple(latin for latin in map(romanised, pieces) if latin)


def _words_in(run: str) -> Iterator[str]:
    """Give the words of a run in an unspaced script, as ICU's dictionaries have them; nothing where it is one word."""
    if script_of(ord(run[0])) not in UNSPACED:
        return
    # ICU counts UTF-16 units.
    text = icu.UnicodeString(run)
    breaks = icu.BreakIterator.createWordInstance(icu.Locale.getRoot())
    breaks.setText(text)
    start = 0
    for end in breaks:
        if MIN_LETTERS <= end - start < len(text):
            yield str(text[start:end])
        start = end


@cache
def _to_latin() -> icu.Transliterator:
    return icu.Transliterator.createInstance("Any-Latin; Latin-ASCII; Lower")
