"""Prepares a stats file to be sent to a server."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK_BYTES = 1 << 18


@contextmanager
def sendable(path: Path) -> Iterator[Path]:
    """Check a stats file and give one with the same sums that says what it is of: itself, but for CSV.

    Raises:
        InvalidStatsError: The file holds no stats, or not all of them; the text names it.
    """
    from polyglyph.contract.exports.reading import read_stats
    from polyglyph.contract.exports.writing import save_stats

    stats = read_stats(path)
    if path.suffix.lower() != ".csv":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path.stem}.parquet"
        save_stats(stats.snapshot(), copy, format="parquet")
        yield copy


async def chunks_of(path: Path) -> AsyncIterator[bytes]:
    """Give a file's bytes in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
