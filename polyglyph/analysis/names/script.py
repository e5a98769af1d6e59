"""Scripts: the nine that the names are written in, with the language whose words and spelling each one uses."""

from functools import cache
from typing import Any, Literal, get_args

import icu

from polyglyph.routing.scripts.dominant import script_of

Script = Literal["Latn", "Cyrl", "Arab", "Deva", "Beng", "Hebr", "Geor", "Grek", "Kana"]
SCRIPTS: tuple[Script, ...] = get_args(Script)

LANGUAGES: dict[Script, str] = {
    "Latn": "en",
    "Cyrl": "ru",
    "Arab": "ar",
    "Deva": "hi",
    "Beng": "bn",
    "Hebr": "he",
    "Geor": "ka",
    "Grek": "el",
    "Kana": "ja",
}
"""BCP 47: what countries and time zones are called by, and whose spelling is preferred. A script has many languages."""

_SHARED = frozenset({"Zyyy", "Zinh"})
_SEPARATORS = frozenset(" -'’・＝")


def script_of_name(text: str) -> Script | None:
    """Give the one script of a name; None for several, none, another, or anything but letters and separators.

    Digits, commas, brackets and invisible joiners disqualify a text: it is a description, or typeset by hand.
    """
    if not text or not all(char in _SEPARATORS or _is_letter(char) for char in text):
        return None
    found = {script_of(ord(char)) for char in text} - _SHARED
    name = found.pop() if len(found) == 1 else None
    return next((script for script in SCRIPTS if script == name), None)


def is_spelled_plainly(text: str, script: Script) -> bool:
    """Whether a name needs only letters of the script's language (by CLDR's exemplar characters)."""
    letters = _letters(script)
    return all(char in _SEPARATORS or letters.contains(char) for char in text.lower())


def home_script(country: str) -> Script | None:
    """Give the script of a country's likeliest language by CLDR; None when it is not among the nine.

    Args:
        country: ISO 3166 code, two letters.
    """
    locale: Any = icu.Locale(f"und_{country}")
    locale.addLikelySubtags()
    return next((script for script in SCRIPTS if script == locale.getScript()), None)


@cache
def _is_letter(char: str) -> bool:
    return bool(icu.Char.isalpha(char)) or icu.Char.charType(char) in _marks() or char == "ー"


@cache
def _marks() -> frozenset[int]:
    types = icu.UCharCategory
    return frozenset({types.NON_SPACING_MARK, types.COMBINING_SPACING_MARK})


@cache
def _letters(script: Script) -> Any:
    letters: Any = icu.UnicodeSet(icu.LocaleData(LANGUAGES[script]).getExemplarSet())
    if script == "Kana":
        letters.add("ー")
    return letters
