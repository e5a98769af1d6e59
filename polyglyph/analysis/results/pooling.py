"""Pooling: several runs, such as the seeds of one experiment, as one set of figures; clusters are (run, entity)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.arm import Arm
from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.evaluation.measures import arms_of
from polyglyph.analysis.evaluation.report import ITEMS_NAME, RESULTS_NAME, SCHEMA, read_ranks
from polyglyph.analysis.results.findings import findings_of

POOLED_SCHEMA = "polyglyph.pooled-evaluation/1"


def pool(folders: Mapping[str, Path], *, seed: int = 0) -> dict[str, Any]:
    """Compute all figures over several runs.

    Entities, facts and items of different runs are different ones, even where they have one name, because each run
    has a model and a world of its own. Only arms that every run has are pooled.

    Args:
        folders: Of each run, by a name of its own (`seed-0`); each holds `results.json` and `items.parquet`.
        seed: Of the resampling.

    Returns:
        What `findings_of` gives, with `runs` (each run's claims and cross-script scores) and `left_out` (arms that
        some run lacks). It can be rendered like a run's document.

    Raises:
        EvaluationRefusedError: No folder is given, or one holds no results.
    """
    if not folders:
        raise EvaluationRefusedError("there are no runs to pool: name the folder of one at least")
    documents = {name: _document(folder) for name, folder in folders.items()}
    frames = {name: _frame(name, folder) for name, folder in folders.items()}
    arms, left_out = _common_arms([arms_of(document["run"]["arms"]) for document in documents.values()])
    frame = pl.concat(list(frames.values()), how="diagonal_relaxed")
    pooled = frame.filter(pl.col("arm").is_in([arm.name for arm in arms]))
    first = next(iter(documents.values()))["benchmark"]
    return {
        "schema": POOLED_SCHEMA,
        "benchmark": {
            **first,
            "name": f"{first['name']} and {len(folders) - 1} more" if len(folders) > 1 else first["name"],
        },
        "runs": {name: _summary(document) for name, document in documents.items()},
        "left_out": left_out,
        **findings_of(pooled, arms, ranks=_ranks(folders), seed=seed),
    }


def _document(folder: Path) -> dict[str, Any]:
    path = folder / RESULTS_NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationRefusedError(f"{path} cannot be read: {error}") from error
    if document.get("schema") != SCHEMA:
        raise EvaluationRefusedError(f"{path} has schema {document.get('schema')!r}, expected {SCHEMA!r}")
    return document


def _frame(name: str, folder: Path) -> pl.DataFrame:
    path = folder / ITEMS_NAME
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise EvaluationRefusedError(f"{path} cannot be read: {error}") from error
    own = [pl.format("{}:{}", pl.lit(name), pl.col(column)).alias(column) for column in ("item", "entity", "fact")]
    model = pl.format("{}:{}", pl.lit(name), pl.col("arm")).alias("model")
    return frame.with_columns(*own, model, pl.lit(name).alias("run"))


def _ranks(folders: Mapping[str, Path]) -> pl.DataFrame | None:
    """Give the rankings of the runs that have some."""
    found = {name: ranks for name, folder in folders.items() if (ranks := read_ranks(folder)) is not None}
    own = [ranks.with_columns(pl.format("{}:{}", pl.lit(name), "item").alias("item")) for name, ranks in found.items()]
    return pl.concat(own) if own else None


def _common_arms(arms_by_run: Sequence[Sequence[Arm]]) -> tuple[list[Arm], list[str]]:
    names = [{arm.name for arm in arms} for arms in arms_by_run]
    common = set.intersection(*names)
    return [arm for arm in arms_by_run[0] if arm.name in common], sorted(set.union(*names) - common)


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "benchmark": document["benchmark"]["name"],
        "asked": document["asked"],
        "cross": {name: arm["cross"] for name, arm in document["arms"].items()},
        "claims": document["claims"],
    }
