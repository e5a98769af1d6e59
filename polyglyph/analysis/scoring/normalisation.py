"""Normalisation: the forms in which two texts are the same answer, the benchmarks' own and one for all scripts.

`official_form` is what MultiLoKo's scorer does in its first release (facebookresearch/multiloko, `eval.py` at commit
56524f9), which extends SQuAD's: lower case, no punctuation, no English articles, single spaces, and the frame
`answer is` or a final Japanese copula cut off. Punctuation there is Unicode's category P and every ASCII sign. It
knows English articles only, and neither decomposed letters nor other digits, widths, Arabic vowel marks or joiners.
"""

import re
import string
import unicodedata
from functools import lru_cache

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_FRAME = "answer is "
_COPULA = "です"

_TATWEEL = "\u0640"
# Short vowels, tanwin, shadda, sukun, Quranic signs and the superscript alef: written or not, the word is the same.
_HARAKAT = frozenset(map(chr, (*range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670, *range(0x06D6, 0x06DD))))
_JOINERS = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_LEFT_OUT = frozenset({_TATWEEL, *_HARAKAT, *_JOINERS})


def official_form(text: str) -> str:
    """Give the form in which the benchmarks' own scorer compares."""
    bare = "".join(character for character in text.lower() if not _is_official_punctuation(character))
    spaced = " ".join(_ARTICLES.sub(" ", bare).split())
    if f" {_FRAME}" in spaced:
        return spaced.split(f" {_FRAME}")[-1]
    if _FRAME in spaced:
        return spaced.replace(_FRAME, "")
    return spaced.removesuffix(_COPULA)


def unicode_form(text: str) -> str:
    """Give the form in which texts of any script are compared.

    Compatibility forms and widths are unified (NFKC), case is folded, digits of every script become ASCII, punctuation
    and symbols part words, whitespace is single. Marks stay, because vowel signs are letters in many scripts; Arabic
    vowel marks, tatweel, joiners and soft hyphens go. Idempotent.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # Folding and leaving out may bring letters and marks together that compose.
    form = unicodedata.normalize("NFKC", "".join(_unicode_character(character) for character in folded))
    return " ".join(form.split())


@lru_cache(maxsize=65_536)
def _is_official_punctuation(character: str) -> bool:
    return (
        character in string.punctuation
        or character in "｀～＄＾＜＞＋｜＝〾〿"
        or unicodedata.category(character)[0] == "P"
    )


@lru_cache(maxsize=65_536)
def _unicode_character(character: str) -> str:
    if character in _LEFT_OUT:
        return ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return " " if unicodedata.category(character)[0] in "PSZC" else character
