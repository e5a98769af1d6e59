"""Languages: the script that a language is written in, by CLDR's likely subtags."""

import icu

from polyglyph.analysis.evaluation.errors import BenchmarkError

# Texts are labelled by their characters, which do not tell Hans from Hant, and a Korean text's are Hangul. Japanese
# stays a writing system of its own, so that it does not count as the script of Chinese.
_LABEL_OF = {"Hans": "Hani", "Hant": "Hani", "Kore": "Hang"}


def script_of_language(language: str) -> str:
    """Give the script of a language.

    Args:
        language: BCP 47, with a script where it is not the likely one (`sr-Latn`).

    Returns:
        ISO 15924 code: `Hani` for Chinese, `Jpan` for Japanese, `Hang` for Korean.

    Raises:
        BenchmarkError: CLDR does not know the language.
    """
    locale = icu.Locale(language)
    locale.addLikelySubtags()
    script = str(locale.getScript())
    if not script:
        raise BenchmarkError(f"CLDR knows no script of the language {language!r}; expected a BCP 47 code such as 'hi'")
    return _LABEL_OF.get(script, script)
