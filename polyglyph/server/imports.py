"""Stats that a client sends: read from the body, checked against the loaded model."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from polyglyph.contract.errors import BodyTooLargeError, StatsMismatchError, StorageError
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.reading import read_stats
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.sums import COLUMNS

MAX_BYTES = 1 << 30
"""Largest body, whatever `--max-body-bytes` says: exports are larger than requests."""
MAX_CELLS = 1 << 26
"""Groups x layers x experts of an import; 16 bytes each in memory, 1 GiB together."""


@asynccontextmanager
async def received(body: AsyncIterator[bytes]) -> AsyncIterator[Path]:
    """Put a body into a temporary file.

    Raises:
        BodyTooLargeError: It has more than `MAX_BYTES`.
        StorageError: The temporary folder has no room.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body"
        try:
            await _receive(body, path)
        except OSError as error:
            raise StorageError(
                f"the body cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}"
            ) from error
        yield path


def read_import(path: Path, *, model: ModelBinding) -> LoadedStats:
    """Read stats that add to a server's; call it in a thread.

    Raises:
        InvalidStatsError: The body holds no stats, or not all of them.
        StatsMismatchError: They are of another model, or columns were summed away.
    """
    stats = read_stats(path, name=path.name, max_cells=MAX_CELLS)
    header = stats.header
    for word, theirs, ours in (
        ("model", header.model_fingerprint, model.fingerprint),
        ("layers", header.layers, model.layers),
        ("experts", header.experts, model.experts),
        ("top_k", header.top_k, model.top_k),
    ):
        if theirs != ours:
            raise StatsMismatchError(f"body: stats of another {word}: {theirs}, this server has {ours}", param="body")
    if header.by != COLUMNS:
        raise StatsMismatchError(
            f"body: a server keeps {', '.join(COLUMNS)} apart, these stats only {', '.join(header.by) or 'nothing'}; "
            "export without 'by' to import",
            param="body",
        )
    return stats


async def _receive(body: AsyncIterator[bytes], path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        async for chunk in body:
            size += len(chunk)
            if size > MAX_BYTES:
                raise BodyTooLargeError(f"the body has more than {MAX_BYTES} bytes, the most that stats may have here")
            await asyncio.to_thread(file.write, chunk)
