"""Writes a snapshot in any format, with its manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, cast

from polyglyph.contract.exports import arrow, csv, eplb, json, npz, parquet, safetensors
from polyglyph.contract.exports.export_file import export_file
from polyglyph.contract.exports.formats import Format
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.exports.stream import HashedFile
from polyglyph.contract.exports.tally import Tally
from polyglyph.contract.sums import Snapshot

Writer = Callable[[Snapshot, BinaryIO], None]


def write_stats(
    snapshot: Snapshot,
    file: BinaryIO,
    *,
    format: Format,  # noqa: A002 - the word of the routes and the command line
    filters: Mapping[str, str] = MappingProxyType({}),
    model_layers: Sequence[int] | None = None,
) -> Manifest:
    """Write a snapshot group by group; memory does not grow with the number of groups.

    Args:
        snapshot: The sums; its groups are walked once.
        file: Takes the bytes from where it stands; is not closed.
        format: How.
        filters: What the snapshot was restricted to, for the manifest.
        model_layers: The model's own numbers of its MoE layers, for `eplb`.
    """
    hashed, tally = HashedFile(file), Tally(header=snapshot.header)
    counted = replace(snapshot, groups=tally.watch(snapshot.groups))
    _writer(format, model_layers)(counted, cast("BinaryIO", hashed))
    hashed.flush()
    return Manifest(
        format=format,
        header=snapshot.header,
        groups=tally.groups,
        rows=tally.rows,
        tokens=tally.tokens,
        cached_tokens=tally.cached_tokens,
        overflow_tokens=tally.overflow_tokens,
        filters=dict(filters),
        bytes=hashed.num_bytes,
        sha256=hashed.sha256,
    )


def save_stats(
    snapshot: Snapshot,
    path: Path,
    *,
    format: Format,  # noqa: A002 - see write_stats
) -> Manifest:
    """Write a file and the manifest beside it; what stood there is replaced when the new file is whole.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with export_file(path) as export:
        export.manifest = write_stats(snapshot, export.file, format=format)
    return export.manifest


def _writer(format: Format, model_layers: Sequence[int] | None) -> Writer:  # noqa: A002 - see write_stats
    if format == "eplb":
        return partial(eplb.write, model_layers=model_layers)
    return _WRITERS[format]


_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "json": json.write,
        "parquet": parquet.write,
        "arrow": arrow.write,
        "csv": csv.write,
        "npz": npz.write,
        "safetensors": safetensors.write,
    }
)
