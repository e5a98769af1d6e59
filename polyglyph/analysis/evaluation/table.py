"""The table of a run, `answers.parquet`: each answer beside the item that it answers."""

import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.log import ANSWERS, read_log
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.clients.errors import UnwritableFileError

if TYPE_CHECKING:
    import polars as pl

FILE_NAME = "answers.parquet"
KEY = ("item", "arm", "sample")


def read_table(folder: Path, items: Sequence[Item], arms: Sequence[Arm]) -> "pl.DataFrame":
    """Read a finished run's answers with their items.

    What an arm would ask just as `none` does was asked once; here it stands in the rows of each such arm.

    Args:
        folder: Of the run.
        items: What was asked.
        arms: How.

    Returns:
        All fields of `Answer`, `is_shared` (an answer that was asked for `none`), then the fields of `Item` but its id,
        which is `item`; sorted by arm, item and sample.
    """
    import polars as pl

    own = pl.DataFrame([asdict(answer) for answer in read_log(folder / ANSWERS, Answer)], schema=_answer_columns())
    asked = pl.DataFrame(
        [item.model_dump(mode="json") for item in items],
        schema={name: _type_of(name) for name in Item.model_fields},
    ).rename({"id": "item"})
    answers = pl.concat([own.with_columns(is_shared=pl.lit(value=False)), _shared(own, items, arms)])
    return answers.join(asked, on="item", how="left").sort("arm", "item", "sample")


def _shared(own: "pl.DataFrame", items: Sequence[Item], arms: Sequence[Arm]) -> "pl.DataFrame":
    """Give the answers of `none` that stand for those that other arms did not have to ask."""
    import polars as pl

    rows = [
        (item.id, arm.name, sample, none_of(arm, arms).name)
        for arm in arms
        for item in items
        for sample in range(arm.num_samples)
    ]
    schema = {"item": pl.String, "arm": pl.String, "sample": pl.Int64, "none": pl.String}
    due = pl.DataFrame(rows, schema=schema, orient="row").join(own, on=list(KEY), how="anti")
    taken = due.join(own.rename({"arm": "none"}), on=["item", "none", "sample"], how="inner")
    return taken.select(own.columns).with_columns(is_shared=pl.lit(value=True))


def none_of(arm: Arm, arms: Sequence[Arm]) -> Arm:
    """Give the arm that another is compared with: unsteered and plain, in the same mode and at the same temperature."""
    return next(
        other
        for other in arms
        if other.kind is ArmKind.NONE and (other.is_thinking, other.temperature) == (arm.is_thinking, arm.temperature)
    )


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


def _answer_columns() -> "dict[str, pl.DataType | type[pl.DataType]]":
    import polars as pl

    by_type = {str: pl.String, int: pl.Int64, float: pl.Float64}
    # The one optional field is a text.
    return {column.name: by_type.get(column.type, pl.String) for column in fields(Answer)}  # type: ignore[arg-type]


def _type_of(name: str) -> "pl.DataType | type[pl.DataType]":
    import polars as pl

    if name in {"answers", "source_answers", "candidates"}:
        return pl.List(pl.String)
    return pl.Int64 if name == "max_tokens" else pl.String
