"""MultiLoKo (2504.10356): questions of local interest in 31 languages, and their translations to and from English.

The release (facebookresearch/multiloko, README, "Data") unpacks to a folder with a subfolder for each language:

- `LANGUAGE/dev.jsonl`: the questions of this language;
- `LANGUAGE/dev_translated_human_english.jsonl` and `..._machine_english.jsonl`: the same in English;
- `english/dev_translated_human_LANGUAGE.jsonl` and `..._machine_LANGUAGE.jsonl`: the English ones in each language.

A line is an object with `text` (the paragraph that holds the answer), `question`, `targets` (accepted short answers),
`target` (a long answer), `id` (the page and its rank) and `output_type` (what kind of answer, such as a date).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from polyglyph.analysis.benchmarks.json_lines import read_rows, text_of
from polyglyph.analysis.benchmarks.languages import script_of_language
from polyglyph.analysis.benchmarks.released import ReleasedQuestion, Selection
from polyglyph.analysis.evaluation.benchmark import Benchmark, Header, Prompts
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.reading import make_benchmark

Translation = Literal["human", "machine"]

ENGLISH = "english"
CODES = {
    "arabic": "ar", "bengali": "bn", "cantonese": "yue", "czech": "cs", "dutch": "nl", "english": "en", "farsi": "fa",
    "french": "fr", "german": "de", "hebrew": "he", "hindi": "hi", "indonesian": "id", "italian": "it",
    "japanese": "ja", "khmer": "km", "korean": "ko", "malay": "ms", "marathi": "mr", "polish": "pl",
    "portuguese": "pt", "romanian": "ro", "russian": "ru", "simplified_mandarin": "zh-Hans", "spanish": "es",
    "swedish": "sv", "tagalog": "tl", "thai": "th", "traditional_mandarin": "zh-Hant", "turkish": "tr", "urdu": "ur",
    "vietnamese": "vi",
}  # fmt: skip
"""BCP 47 of the release's language folders."""

_FIELDS = ("text", "question", "targets", "id")
_SYSTEM = "Give the answer only, as short as possible, in the language of the question."


def load_multiloko(
    folder: Path,
    *,
    languages: Sequence[str] | None = None,
    subset: str = "dev",
    translation: Translation = "human",
    seed: int = 0,
) -> Benchmark:
    """Read the unpacked release as a benchmark: local questions, and their translations where the files are there.

    Args:
        folder: What the release unpacks to (`benchmark_data`).
        languages: Folders to read; all that hold the subset by default.
        subset: Beginning of the file names.
        translation: Whose translations.
        seed: Of the halves.

    Raises:
        BenchmarkError: The folder or a file is not of this form; the text names file, line and field.
    """
    chosen = _chosen(folder, languages, subset)
    selection = Selection()
    questions = (question for language in chosen for question in _of_language(folder, language, subset, translation))
    items = list(selection.items(questions))
    header = Header(
        name="multiloko",
        description=f"MultiLoKo ({subset}, {translation} translations): local knowledge of {len(chosen)} languages, "
        f"asked there and in translation.{selection.note}",
        licence="as released by its authors",
        scorer="normalised",
        prompts=Prompts(
            system=_SYSTEM,
            think_in_source={"*": "Think in the {script} script, then answer in the language of the question."},
            context="{context}",
        ),
        seed=seed,
    )
    return make_benchmark(header, items)


def _chosen(folder: Path, languages: Sequence[str] | None, subset: str) -> list[str]:
    there = sorted(path.parent.name for path in folder.glob(f"*/{subset}.jsonl") if path.parent.name in CODES)
    chosen = there if languages is None else list(languages)
    unknown = [language for language in chosen if language not in there]
    if unknown or not chosen:
        what = f"{unknown[0]}/{subset}.jsonl" if unknown else f"any LANGUAGE/{subset}.jsonl"
        raise BenchmarkError(f"{folder} does not hold {what}; there are: {', '.join(there) or 'none'}")
    return chosen


def _of_language(folder: Path, language: str, subset: str, translation: Translation) -> Iterator[ReleasedQuestion]:
    """Give a language's own questions, those in English, and English ones in the language."""
    yield from _file(folder, language, language, f"{subset}.jsonl", subset)
    if language == ENGLISH:
        return
    for source, target in ((language, ENGLISH), (ENGLISH, language)):
        name = f"{subset}_translated_{translation}_{target}.jsonl"
        if (folder / source / name).is_file():
            yield from _file(folder, source, target, name, subset)


def _file(folder: Path, source: str, target: str, name: str, subset: str) -> Iterator[ReleasedQuestion]:
    path = folder / source / name
    local = {str(row["id"]): row for _, row in read_rows(folder / source / f"{subset}.jsonl", _FIELDS)}
    for place, row in read_rows(path, _FIELDS):
        yield _question(row, local.get(str(row["id"]), row), source, target, place)


def _question(row: dict[str, Any], local: dict[str, Any], source: str, target: str, place: str) -> ReleasedQuestion:
    fact = f"{source}.{row['id']}"
    kind = row.get("output_type")
    return ReleasedQuestion(
        id=fact if source == target else f"{fact}.{target}",
        entity=fact,
        fact=fact,
        question=text_of(row, "question", place),
        suffix=f" ({kind.strip()})" if isinstance(kind, str) and kind.strip() else "",
        answers=_targets(row, place),
        source_answers=_targets(local, place),
        source_language=CODES[source],
        target_language=CODES[target],
        source_script=script_of_language(CODES[source]),
        target_script=script_of_language(CODES[target]),
        context=text_of(local, "text", place),
    )


def _targets(row: dict[str, Any], place: str) -> tuple[str, ...]:
    targets = row["targets"]
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise BenchmarkError(f"{place}: targets: expected a list of texts, got {targets!r}")
    answers = tuple(dict.fromkeys(target.strip() for target in targets if target.strip()))
    if not answers:
        raise BenchmarkError(f"{place}: targets: expected one answer at least, got {targets!r}")
    return answers
