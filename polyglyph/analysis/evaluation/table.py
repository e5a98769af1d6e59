"""The table of a run, `answers.parquet`: each answer beside the item that it answers."""

import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.log import ANSWERS, read_log
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.clients.errors import UnwritableFileError

if TYPE_CHECKING:
    import polars as pl

FILE_NAME = "answers.parquet"


def read_table(folder: Path, items: Iterable[Item]) -> "pl.DataFrame":
    """Read a run's answers with their items.

    Args:
        folder: Of the run.
        items: Those of the benchmark.

    Returns:
        All fields of `Answer`, then those of `Item` but its id, which is `item`; sorted by arm, item and sample.
    """
    import polars as pl

    answers = pl.DataFrame(
        [asdict(answer) for answer in read_log(folder / ANSWERS, Answer)],
        schema={
            "item": pl.String,
            "arm": pl.String,
            "sample": pl.Int64,
            "text": pl.String,
            "reasoning": pl.String,
            "finish_reason": pl.String,
            "prompt_tokens": pl.Int64,
            "completion_tokens": pl.Int64,
            "plan": pl.String,
            "strength": pl.Float64,
            "guessed_source": pl.String,
            "dose": pl.Float64,
            "tokens_steered": pl.Int64,
            "seconds": pl.Float64,
        },
    )
    asked = pl.DataFrame(
        [item.model_dump(mode="json") for item in items],
        schema={name: _type_of(name) for name in Item.model_fields},
    ).rename({"id": "item"})
    return answers.join(asked, on="item", how="left").sort("arm", "item", "sample")


def write_table(table: "pl.DataFrame", folder: Path) -> None:
    """Write `answers.parquet`, whole or not at all.

    Raises:
        UnwritableFileError: It cannot be written.
    """
    data = io.BytesIO()
    table.write_parquet(data)
    path = folder / FILE_NAME
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error


def _type_of(name: str) -> "pl.DataType | type[pl.DataType]":
    import polars as pl

    if name in {"answers", "source_answers", "candidates"}:
        return pl.List(pl.String)
    return pl.Int64 if name == "max_tokens" else pl.String
