"""Writing: one constructed language in four scripts, word by word through ICU."""

from functools import cache
from typing import Literal, get_args

import icu

Script = Literal["Latn", "Cyrl", "Deva", "Geor"]
SCRIPTS: tuple[Script, ...] = get_args(Script)

# These letters go through all three transliterators and back unchanged (ICU 72: q, w, x do not; z and f take two
# Devanagari characters). The tests check every syllable.
CONSONANTS = "bdghklmnprstv"
VOWELS = "aeiou"
SYLLABLES: tuple[str, ...] = tuple(c + v for c in CONSONANTS for v in VOWELS)

_TRANSLITERATORS: dict[Script, str] = {
    "Cyrl": "Latin-Cyrillic",
    "Deva": "Latin-Devanagari",
    "Geor": "Latin-Georgian",
}


@cache
def _transliterator(script: Script) -> icu.Transliterator:
    return icu.Transliterator.createInstance(_TRANSLITERATORS[script])


@cache
def write(word: str, script: Script) -> str:
    """Write one Latin word of the language in a script."""
    return word if script == "Latn" else str(_transliterator(script).transliterate(word))


@cache
def romanise(word: str, script: Script) -> str:
    """Bring a word written in a script back to Latin; the exact inverse of `write` for words of the language."""
    return word if script == "Latn" else str(_transliterator(script).createInverse().transliterate(word))


def write_text(text: str, script: Script) -> str:
    """Write a Latin text in a script, word by word: the spaces stay."""
    return " ".join(write(word, script) for word in text.split(" "))


def script_of(text: str) -> Script | None:
    """Give the one script all letters of a text are written in, or None for no letters, several or other scripts."""
    found = {icu.Script.getScript(char).getShortName() for char in text} - {"Zyyy", "Zinh"}
    name = found.pop() if len(found) == 1 else None
    return name if name in SCRIPTS else None
