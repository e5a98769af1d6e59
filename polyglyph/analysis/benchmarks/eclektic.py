"""ECLeKTic (2502.21228): facts of one language's Wikipedia, asked in twelve languages.

The official release is one JSON Lines file, `eclektic_main.jsonl`, a line for each question:

- `q_id`; `original_lang`, the language of the only Wikipedia that has the article; `title` and `url` of that article;
- `content`, `question`, `answer` in the original language: the passage that holds the answer, and question and answer;
- for each language, the original one included, `xx_q`, `xx_a` and `xx_c`: question, answer and passage in it, with
  xx of de, en, es, fr, he, hi, id, it, ja, ko, pt, zh.

The form was read from public code that reads the file (stanford-crfm/helm, `eclektic_scenario.py`; aw814/
MLLM-interpretability, `data_processing.py`), not from the file itself, which is not ours to hold.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polyglyph.analysis.benchmarks.json_lines import read_rows, text_of
from polyglyph.analysis.benchmarks.languages import script_of_language
from polyglyph.analysis.benchmarks.released import ReleasedQuestion, Selection
from polyglyph.analysis.evaluation.benchmark import Benchmark, Header, Prompts, Scorer
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.reading import make_benchmark

LANGUAGES = ("de", "en", "es", "fr", "he", "hi", "id", "it", "ja", "ko", "pt", "zh")

_FIELDS = ("q_id", "original_lang", "title", "content", "question", "answer")


def load_eclektic(
    path: Path, *, languages: Sequence[str] = LANGUAGES, scorer: Scorer = "judge", seed: int = 0
) -> Benchmark:
    """Read the released file as a benchmark: every question in its original language and in the given ones.

    Args:
        path: `eclektic_main.jsonl`.
        languages: In which questions are asked; their columns must be there.
        scorer: The paper's is a judge; `contains` is the nearest without one.
        seed: Of the halves.

    Raises:
        BenchmarkError: The file is not of this form; the text names line and field.
    """
    selection = Selection()
    questions = (question for place, row in read_rows(path, _FIELDS) for question in _asked(row, languages, place))
    items = list(selection.items(questions))
    about = f"ECLeKTic: facts of one language's Wikipedia, asked in {len(languages)} languages."
    header = Header(
        name="eclektic",
        description=about + selection.note,
        licence="as released by its authors",
        scorer=scorer,
        prompts=Prompts(
            hint="The question is about: {entity_hint}",
            think_in_source={"*": "Think in the {script} script, then answer in the language of the question."},
            context="{context}",
        ),
        seed=seed,
    )
    return make_benchmark(header, items)


def _asked(row: dict[str, Any], languages: Sequence[str], place: str) -> Iterator[ReleasedQuestion]:
    original, name = text_of(row, "original_lang", place), str(row["q_id"])
    missing = [f"{x}_{y}" for x in languages if x != original for y in "qa" if f"{x}_{y}" not in row]
    if missing:
        raise BenchmarkError(f"{place}: lacks {', '.join(missing)}; name the languages that are there")
    title = text_of(row, "title", place)
    for language in dict.fromkeys((original, *languages)):
        asked, answered = ("question", "answer") if language == original else (f"{language}_q", f"{language}_a")
        yield ReleasedQuestion(
            id=f"{name}.{language}",
            entity=f"{original}:{title}",
            fact=name,
            question=text_of(row, asked, place),
            answers=(text_of(row, answered, place),),
            source_answers=(text_of(row, "answer", place),),
            source_language=original,
            target_language=language,
            source_script=script_of_language(original),
            target_script=script_of_language(language),
            context=text_of(row, "content", place),
            entity_hint=title,
        )
