"""`polyglyph stats pull`: the server's sums as a file."""

from typing import Annotated

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.output import AsJson, print_json
from polyglyph.clients.stats.filters import StatsFilters
from polyglyph.clients.stats.options import ColumnName, FormatName, Output, columns_of, say_written


def pull(
    server: Polyglyph,
    *,
    output: Output,
    filters: StatsFilters,
    format: FormatName = None,  # noqa: A002 - the option's name
    by: Annotated[
        list[ColumnName] | None,
        typer.Option("--by", help="Columns to keep apart, repeat it to combine; the others are summed away."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Save the server's sums as a file, with its manifest beside it; needs the admin key.

    The file appears when it is whole and its SHA-256 is the server's. --json prints the manifest.
    """
    if by:
        filters = {**filters, "by": columns_of(by)}
    manifest = server.pull_stats(output, format=format, **filters)
    if as_json:
        print_json(manifest.model_dump(mode="json", by_alias=True))
    else:
        say_written(manifest, output)
