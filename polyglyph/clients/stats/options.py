"""Options that several `polyglyph stats` commands share."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from polyglyph.clients.output import say
from polyglyph.contract.exports.formats import FORMATS, Format
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.sums import COLUMNS, Column


class ColumnName(StrEnum):
    """A column of the stats, as the command line writes it."""

    REQUEST_SCRIPT = "request-script"
    SCRIPT = "script"
    PHASE = "phase"
    PLAN = "plan"
    TAG = "tag"


class By(StrEnum):
    """What a line of the table stands for."""

    REQUEST_SCRIPT = "request-script"
    SCRIPT = "script"
    PHASE = "phase"
    PLAN = "plan"
    TAG = "tag"
    LAYER = "layer"
    EXPERT = "expert"


FormatName = Annotated[
    Format | None,
    typer.Option("--format", help=f"{', '.join(FORMATS)} (default: what the file's name ends in)."),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")]


def columns_of(by: Iterable[By | ColumnName]) -> tuple[Column, ...]:
    """Give the columns among the words of `--by`, in the order of tables."""
    named = {name.replace("-", "_") for name in by}
    return tuple(column for column in COLUMNS if column in named)


def say_written(manifest: Manifest, path: Path) -> None:
    """Say what a file holds."""
    say(
        f"wrote {path} ({manifest.bytes} bytes, SHA-256 {manifest.sha256[:12]}...): {manifest.groups} groups, "
        f"{manifest.tokens} tokens, {manifest.cached_tokens} cached ones"
    )
    if manifest.overflow_tokens:
        say(
            f"{manifest.overflow_tokens} tokens found no free group; they are counted under tag 'overflow'",
            style="yellow",
        )
