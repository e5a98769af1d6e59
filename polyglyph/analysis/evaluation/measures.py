"""Measures: every answer with its item, its arm, whether it is right, and what can be said of its text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.benchmark import Benchmark, Scorer
from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.scoring.matching import MATCHERS, is_normalised, is_official
from polyglyph.analysis.scoring.repetition import repeated_share
from polyglyph.routing.scripts import NO_SCRIPT, as_writing_system, dominant_script

KEY = ("item", "arm", "sample")

_ITEM_COLUMNS: dict[str, Any] = {
    "item": pl.String, "entity": pl.String, "fact": pl.String, "task": pl.String, "half": pl.String,
    "source_script": pl.String, "target_script": pl.String,
    "source_language": pl.String, "target_language": pl.String,
}  # fmt: skip
_ARM_COLUMNS: dict[str, Any] = {
    "arm": pl.String, "kind": pl.String, "is_thinking": pl.Boolean, "temperature": pl.Float64, "rule": pl.String,
    "draw": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What is measured on one answer.

    Attributes:
        right_official: Whether the benchmarks' own normalisation finds it accepted.
        right_unicode: Whether the normalisation for all scripts does.
        right_in_source_script: Whether it is the answer in the source script.
        answer_script: ISO 15924, `Zyyy` for none.
        reasoning_script: The same of the reasoning.
        is_answer_in_target: Whether the answer is in the question's script; None for an answer without a script.
        is_reasoning_in_source: Whether the reasoning is in the source script; None where there is none.
        answer_characters: Length of the answer.
        reasoning_characters: Length of the reasoning.
        repetition: Share of repeated word n-grams of reasoning and answer, the larger.
    """

    right_official: bool
    right_unicode: bool
    right_in_source_script: bool
    answer_script: str
    reasoning_script: str
    is_answer_in_target: bool | None
    is_reasoning_in_source: bool | None
    answer_characters: int
    reasoning_characters: int
    repetition: float


def measure(
    benchmark: Benchmark, arms: Sequence[Arm], answers: pl.DataFrame, *, verdicts: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Join answers with their items and arms, and judge them.

    Args:
        benchmark: What was asked.
        arms: How; every arm of the answers.
        answers: Columns are the fields of `Answer`; others are left out.
        verdicts: The judge's, with columns item, arm, sample and right; needed where the scorer is `judge`.

    Returns:
        A row for each answer: its columns, those of item and arm, `right` and the fields of `Measured`.

    Raises:
        EvaluationRefusedError: An answer's item or arm is unknown, or verdicts are missing.
    """
    answers = answers.select([field.name for field in fields(Answer)])
    _check_known(answers, "item", {item.id for item in benchmark.items})
    _check_known(answers, "arm", {arm.name for arm in arms})
    items = {item.id: item for item in benchmark.items}
    texts = answers.select("item", "text", "reasoning").unique(maintain_order=True)
    judge_text = _scorer(benchmark.header.scorer)
    rows = [_row(items[item], text, reasoning, judge_text) for item, text, reasoning in texts.iter_rows()]
    measured = texts.hstack(pl.DataFrame(rows, schema=_MEASURED_COLUMNS, orient="row"))
    joined = (
        answers.join(_items_frame(benchmark.items), on="item", how="left", maintain_order="left")
        .join(_arms_frame(arms), on="arm", how="left", maintain_order="left")
        .join(measured, on=["item", "text", "reasoning"], how="left", maintain_order="left")
    )
    return _with_verdicts(joined, verdicts) if benchmark.header.scorer == "judge" else joined


def arms_of(documents: Iterable[Mapping[str, Any]]) -> tuple[Arm, ...]:
    """Read arms back from their documents in `run.json`; what steered them is left there."""
    names = ("name", "is_thinking", "temperature", "num_samples", "prompt", "rule", "draw")
    return tuple(
        Arm(kind=ArmKind(document["kind"]), **{name: document[name] for name in names if name in document})
        for document in documents
    )


def is_in_script(found: str, script: str) -> bool:
    """Whether a text's dominant script is a given one; Japanese (`Jpan`) is written in three."""
    return found == script or (script == "Jpan" and as_writing_system(found) == script)


_MEASURED_COLUMNS: dict[str, Any] = {
    "right": pl.Boolean, "right_official": pl.Boolean, "right_unicode": pl.Boolean,
    "right_in_source_script": pl.Boolean, "answer_script": pl.String, "reasoning_script": pl.String,
    "is_answer_in_target": pl.Boolean, "is_reasoning_in_source": pl.Boolean, "answer_characters": pl.Int64,
    "reasoning_characters": pl.Int64, "repetition": pl.Float64,
}  # fmt: skip

Match = Callable[[str, Iterable[str]], bool]


def _scorer(scorer: Scorer) -> Match | None:
    return None if scorer == "judge" else MATCHERS[scorer]


def _row(item: Item, text: str, reasoning: str, match: Match | None) -> tuple[Any, ...]:
    values = vars(_measured(item, text, reasoning, match or is_normalised))
    return (match(text, item.answers) if match else None, *values.values())


def _measured(item: Item, text: str, reasoning: str, match: Match) -> Measured:
    answer_script, reasoning_script = dominant_script(text), dominant_script(reasoning)
    return Measured(
        right_official=is_official(text, item.answers),
        right_unicode=is_normalised(text, item.answers),
        right_in_source_script=match(text, item.source_answers),
        answer_script=answer_script,
        reasoning_script=reasoning_script,
        is_answer_in_target=_is_in(answer_script, item.target_script),
        is_reasoning_in_source=_is_in(reasoning_script, item.source_script),
        answer_characters=len(text),
        reasoning_characters=len(reasoning),
        repetition=max(_repetition(text), _repetition(reasoning)),
    )


def _is_in(found: str, script: str) -> bool | None:
    return None if found == NO_SCRIPT else is_in_script(found, script)


def _repetition(text: str) -> float:
    # Two words repeat nothing, and most answers are not longer.
    return repeated_share(text) if len(text) > 8 else 0.0


def _items_frame(items: Iterable[Item]) -> pl.DataFrame:
    rows = [{**item.model_dump(include=set(_ITEM_COLUMNS)), "item": item.id} for item in items]
    return pl.DataFrame(rows, schema=_ITEM_COLUMNS)


def _arms_frame(arms: Iterable[Arm]) -> pl.DataFrame:
    rows = [
        {"arm": arm.name, "kind": arm.kind.value, **{name: getattr(arm, name) for name in list(_ARM_COLUMNS)[2:]}}
        for arm in arms
    ]
    return pl.DataFrame(rows, schema=_ARM_COLUMNS)


def _check_known(answers: pl.DataFrame, column: str, known: set[str]) -> None:
    unknown = sorted(set(answers[column].unique()) - known)
    if unknown:
        raise EvaluationRefusedError(
            f"{len(unknown)} {column}s of the answers are unknown, the first of them {unknown[0]!r}: "
            "the answers belong to another benchmark or run"
        )


def _with_verdicts(measured: pl.DataFrame, verdicts: pl.DataFrame | None) -> pl.DataFrame:
    if verdicts is None:
        raise EvaluationRefusedError("the benchmark's scorer is a judge, and there are no verdicts: name a judge")
    judged = measured.drop("right").join(
        verdicts.select(*KEY, pl.col("right").cast(pl.Boolean)).unique(KEY), on=list(KEY), how="left",
        maintain_order="left",
    )  # fmt: skip
    missing = judged["right"].null_count()
    if missing:
        raise EvaluationRefusedError(
            f"{missing} of {len(judged)} answers have no verdict of the judge: judge them first"
        )
    return judged
