"""Report: a run's answers as `results.json`, `results.md` and `items.parquet`, each there whole or not at all."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.evaluation.measures import arms_of, measure
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.results.findings import findings_of
from polyglyph.analysis.results.tables import render

SCHEMA = "polyglyph.evaluation/1"
RESULTS_NAME = "results.json"
TABLES_NAME = "results.md"
ITEMS_NAME = "items.parquet"
RANKS_NAME = "ranks.parquet"


def write_report(
    folder: Path,
    benchmark: Benchmark,
    run: Mapping[str, Any],
    answers: pl.DataFrame,
    *,
    verdicts: pl.DataFrame | None = None,
    ranks: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """Measure a run's answers, compute all figures and write the three files.

    Args:
        folder: Of the run; exists.
        benchmark: What was asked.
        run: Document of `run.json`; `arms` names them, `seed` (0 where absent) is that of all resampling.
        answers: Columns are the fields of `Answer`; others are left out.
        verdicts: The judge's: item, arm, sample, right. Needed where the scorer is `judge`.
        ranks: For RankC: item, arm, ranking (indices of the item's candidates, the best first). By default the folder's
            `ranks.parquet`, where there is one.

    Returns:
        The document of `results.json`.

    Raises:
        EvaluationRefusedError: There are no answers, or they do not belong together; nothing was written.
        OSError: A file cannot be written.
    """
    if not len(answers):
        raise EvaluationRefusedError("there are no answers to report on; run the evaluation first")
    arms = arms_of(run["arms"])
    frame = measure(benchmark, arms, answers, verdicts=verdicts)
    ranks = read_ranks(folder) if ranks is None else ranks
    header = benchmark.header
    document = {
        "schema": SCHEMA,
        "benchmark": {
            "name": header.name,
            "description": header.description,
            "licence": header.licence,
            "scorer": header.scorer,
            "sha256": benchmark.sha256,
        },
        "run": _abridged(run),
        **findings_of(frame, arms, ranks=ranks, seed=_seed(run)),
    }
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_whole(folder / ITEMS_NAME, _parquet(frame))
    write_whole(folder / TABLES_NAME, render(document))
    # The last one, so that where it is the others are.
    write_whole(folder / RESULTS_NAME, text)
    return document


def read_ranks(folder: Path) -> pl.DataFrame | None:
    """Read a run's rankings of candidates; None where there are none.

    Returns:
        Columns item, arm and ranking: indices of the item's candidates, the best first.

    Raises:
        EvaluationRefusedError: The file has other columns, or cannot be read.
    """
    path = folder / RANKS_NAME
    if not path.exists():
        return None
    try:
        return pl.read_parquet(path).select("item", "arm", pl.col("ranking").cast(pl.List(pl.Int64)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise EvaluationRefusedError(f"{path}: expected the columns item, arm and ranking: {error}") from error


def _abridged(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give the run without what is long; `run.json` has the controls' edits and what they were matched on."""
    arms = [{name: value for name, value in arm.items() if name != "steering"} for arm in run["arms"]]
    return {**{name: value for name, value in run.items() if name != "frequencies"}, "arms": arms}


def _seed(run: Mapping[str, Any]) -> int:
    seed = run.get("seed", 0)
    return seed if isinstance(seed, int) and seed >= 0 else 0


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", metadata={"polyglyph.schema": "polyglyph.evaluation-items/1"})
    return buffer.getvalue()
