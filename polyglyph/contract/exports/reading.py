"""Reads stats of any format, told by the file's beginning; what is damaged, cut or foreign is refused by name."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import pyarrow as pa
from safetensors import SafetensorError

from polyglyph.contract.errors import InvalidStatsError, RequestError
from polyglyph.contract.exports import arrow, csv, json, npz, parquet, safetensors
from polyglyph.contract.exports.checks import check_stats
from polyglyph.contract.exports.limits import MAX_CELLS
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import Manifest, load_manifest, manifest_path

DAMAGE = (
    pa.ArrowException,
    SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    # zipfile raises it for an encrypted member.
    RuntimeError,
)
"""What the formats' libraries raise for a file that is not what its beginning says."""
EXPECTED = "stats as Parquet, Arrow, CSV, JSON, NPZ or safetensors"


def read_stats(path: Path, *, name: str | None = None, max_cells: int = MAX_CELLS) -> LoadedStats:
    """Read a stats file.

    Args:
        path: The file. A manifest that stands beside it must agree with it; CSV needs one.
        name: What to call it in errors, the path unless given.
        max_cells: Groups x layers x experts that are read at most.

    Raises:
        InvalidStatsError: The file cannot be read, is no stats file, is cut or damaged, or holds what no server can
            have counted; the text names it and says what was expected.
    """
    with naming(name or str(path)):
        manifest = _manifest_of(path)
        stats = _read(path, manifest=manifest, max_cells=max_cells)
        check_stats(stats.header, stats.groups)
        return stats


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn what goes wrong into one error that names the file."""
    try:
        yield
    except RequestError as error:
        raise InvalidStatsError(f"{name}: {error}") from error
    except OSError as error:
        raise InvalidStatsError(f"{name}: cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise InvalidStatsError(f"{name}: expected {EXPECTED}; it is cut or damaged: {error}") from error


def _read(path: Path, *, manifest: Manifest | None, max_cells: int) -> LoadedStats:
    with path.open("rb") as file:
        beginning = file.read(len(csv.MAGIC))
    if beginning.startswith(parquet.MAGIC):
        return parquet.read(path, max_cells=max_cells)
    if beginning.startswith(arrow.MAGIC):
        return arrow.read(path, max_cells=max_cells)
    if beginning.startswith(npz.MAGIC):
        return npz.read(path, max_cells=max_cells)
    if beginning.startswith(json.MAGIC):
        return json.read(path, max_cells=max_cells)
    if beginning[8:9] == b"{":
        return safetensors.read(path, max_cells=max_cells)
    if beginning == csv.MAGIC:
        return _read_csv(path, manifest=manifest, max_cells=max_cells)
    raise InvalidStatsError(f"expected {EXPECTED}; it begins with {beginning[:16]!r}")


def _read_csv(path: Path, *, manifest: Manifest | None, max_cells: int) -> LoadedStats:
    if manifest is None:
        beside = manifest_path(path).name
        raise InvalidStatsError(f"CSV does not say which model it is of: its manifest {beside} must stand beside it")
    return csv.read(path, manifest=manifest, max_cells=max_cells)


def _manifest_of(path: Path) -> Manifest | None:
    beside = manifest_path(path)
    if not beside.exists():
        return None
    manifest = load_manifest(beside)
    size = path.stat().st_size
    if size != manifest.bytes:
        raise InvalidStatsError(f"its manifest says {manifest.bytes} bytes, it has {size}: cut or changed")
    with path.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        raise InvalidStatsError(f"its manifest says SHA-256 {manifest.sha256}, it has {found}: changed or damaged")
    return manifest
