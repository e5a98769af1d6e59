"""The script of what a text speaks about, where it is not the script of the text."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import icu

from polyglyph.routing.scripts.dominant import NO_SCRIPT, dominant_script, script_of, without_middle

MIN_LETTERS = 2
JAPANESE = frozenset({"Hira", "Kana", "Hani"})
"""One writing system's scripts: a text that uses kana does not change its script from word to word."""

_QUOTED = re.compile(
    r'"([^"\n]+)"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|»([^«\n]+)«|‹([^›\n]+)›|「([^」\n]+)」|『([^』\n]+)』|《([^》\n]+)》'
)
_LETTER_TYPES = frozenset(
    {
        icu.UCharCategory.UPPERCASE_LETTER,
        icu.UCharCategory.LOWERCASE_LETTER,
        icu.UCharCategory.TITLECASE_LETTER,
        icu.UCharCategory.MODIFIER_LETTER,
        icu.UCharCategory.OTHER_LETTER,
    }
)
_MARK_TYPES = frozenset(
    {
        icu.UCharCategory.NON_SPACING_MARK,
        icu.UCharCategory.ENCLOSING_MARK,
        icu.UCharCategory.COMBINING_SPACING_MARK,
    }
)


@dataclass(frozen=True)
class _Word:
    """A run of letters and marks of one script."""

    text: str
    script: str
    num_letters: int


@dataclass(frozen=True)
class WordsApart:
    """The words of a text.

    Attributes:
        entities: Those of what it speaks about: in another script than the text, or quoted.
        others: The rest.
    """

    entities: tuple[str, ...]
    others: tuple[str, ...]


def entity_script(text: str) -> str | None:
    """Give the script of a question's entities where it differs from the question's own.

    A word is a run of letters and their marks in one script; `iPhoneом` is two. Of the words of at least two letters
    whose script is not the text's dominant one, the most frequent script counts, of equally frequent ones that met
    first. A quoted span counts once more, by its own dominant script. In a text with kana, `Hira`, `Kana` and
    `Hani` are one.

    Args:
        text: Any string. Of one longer than `MAX_CHARACTERS` the middle is left out.

    Returns:
        ISO 15924 code, or None where every word is in the text's own script.
    """
    text = without_middle(text)
    own = _own_scripts(text)
    words = [*_words(text), *_quoted(text)]
    found = Counter(word.script for word in words if word.script not in own and word.num_letters >= MIN_LETTERS)
    return max(found, key=found.__getitem__, default=None)


def words_apart(text: str) -> WordsApart:
    """Tell the words of what a text speaks about from its other words.

    Words are those of `entity_script`, of at least two letters; a quoted span's are entities in any script. Scripts
    without spaces between words give runs of several.

    Args:
        text: Any string. Of one longer than `MAX_CHARACTERS` the middle is left out.
    """
    text = without_middle(text)
    own = _own_scripts(text)
    quoted = {word.text for span in _quoted_spans(text) for word in _words(span)}
    entities: list[str] = []
    others: list[str] = []
    for word in _words(text):
        if word.num_letters >= MIN_LETTERS:
            is_entity = word.script not in own or word.text in quoted
            (entities if is_entity else others).append(word.text)
    return WordsApart(tuple(entities), tuple(others))


def as_writing_system(script: str) -> str:
    """Give `Jpan` for `Hira`, `Kana` and `Hani`, any other script as it is.

    For readers of stats who know their texts to be Japanese: nothing tells a character's `Hani` from Chinese.
    """
    return "Jpan" if script in JAPANESE else script


def _own_scripts(text: str) -> frozenset[str]:
    dominant = dominant_script(text)
    has_kana = any(script_of(ord(character)) in {"Hira", "Kana"} for character in text)
    own = JAPANESE if has_kana and dominant in JAPANESE else frozenset({dominant})
    return own | {NO_SCRIPT}


def _words(text: str) -> Iterator[_Word]:
    """Give the words in order; what shares scripts (marks, a shared letter) belongs to the word it stands in."""
    start, script, num_letters = 0, NO_SCRIPT, 0
    for index, character in enumerate(text):
        own, is_letter, is_mark = _traits(character)
        if not (is_letter or is_mark) or (own is not None and script not in {own, NO_SCRIPT}):
            yield _Word(text[start:index], script, num_letters)
            start, script, num_letters = index, NO_SCRIPT, 0
        if is_letter or is_mark:
            script, num_letters = own or script, num_letters + is_letter
        else:
            start = index + 1
    yield _Word(text[start:], script, num_letters)


def _quoted(text: str) -> Iterator[_Word]:
    for span in _quoted_spans(text):
        yield _Word(span, dominant_script(span), sum(_traits(character)[1] for character in span))


def _quoted_spans(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield match[match.lastindex or 0]


@lru_cache(maxsize=65_536)
def _traits(character: str) -> tuple[str | None, bool, bool]:
    """Give a character's own script (None for shared ones), whether it is a letter, whether it joins one."""
    script = script_of(ord(character))
    category = icu.Char.charType(ord(character))
    is_shared = script in {"Zyyy", "Zinh", "Zzzz"}
    return None if is_shared else script, category in _LETTER_TYPES, category in _MARK_TYPES or script == "Zinh"
