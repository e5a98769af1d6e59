"""`polyglyph stats merge`: several files' sums in one."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph.clients.errors import UnwritableFileError
from polyglyph.clients.output import AsJson, print_json, say
from polyglyph.clients.stats.options import FormatName, Output, say_written
from polyglyph.contract.exports.formats import format_of

if TYPE_CHECKING:
    from polyglyph.contract.exports.merging import NamedStats


def merge(
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stats files, of any formats.")],
    output: Output,
    format: FormatName = None,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Add up stats files of one model, group by group; with one file, write it in another format.

    Refused are sums of different models, shapes or columns, and the same sums twice. --json prints the manifest.
    """
    from polyglyph.contract.exports import merging
    from polyglyph.contract.exports.reading import read_stats
    from polyglyph.contract.exports.writing import save_stats

    kind = format or format_of(output)
    parts = [merging.NamedStats(str(path), read_stats(path)) for path in files]
    merged = merging.merge(parts)
    _warn_of_overlaps(parts)
    try:
        manifest = save_stats(merged.snapshot(), output, format=kind)
    except OSError as error:
        raise UnwritableFileError(f"{output} cannot be written: {error.strerror or error}") from error
    if as_json:
        print_json(manifest.model_dump(mode="json", by_alias=True))
    else:
        say_written(manifest, output)


def _warn_of_overlaps(parts: Sequence["NamedStats"]) -> None:
    """Say which files may hold the same tokens: what began together and has a group in common."""
    for one, other in combinations(parts, 2):
        keys = {group.key for group in one.stats.groups} & {group.key for group in other.stats.groups}
        if keys and one.stats.header.since == other.stats.header.since:
            say(
                f"{one.name} and {other.name} both begin at {one.stats.header.since} and have {len(keys)} groups in "
                "common: if both are of one server, the later file holds the earlier one's tokens, which now count "
                "twice",
                style="yellow",
            )
