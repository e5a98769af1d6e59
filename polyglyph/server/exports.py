"""Stats as a download: written whole into an unnamed temporary file first, then handed to the client.

So a client that reads slowly, or stops, holds no transaction of the store, and a full disk is known before the first
byte is sent.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Protocol, cast

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from polyglyph.contract.errors import BusyError, StorageError
from polyglyph.contract.exports.formats import MEDIA_TYPES, SUFFIXES
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.exports.writing import write_stats
from polyglyph.contract.sums import Snapshot, StatsQuery
from polyglyph.server.stats_query import ExportRequest

CHUNK_BYTES = 1 << 18
MANIFEST_HEADER = "X-Polyglyph-Manifest"
RETRY_AFTER_S = 10


class SumsReader(Protocol):
    """Where sums are read from; the ledger is one."""

    def read(self, query: StatsQuery) -> AbstractContextManager[Snapshot]:
        """Give the sums that a query asks for, at one moment; called in a thread."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """A written export.

    Attributes:
        file: Without a name, at its beginning; gone when closed.
        manifest: What is in it.
    """

    file: IO[bytes]
    manifest: Manifest


class Exports:
    """Writes exports, a few at once.

    Args:
        max_writing: Exports written at the same time; further ones wait.
        max_open: Exports written or on their way to a client; further ones are refused.
        wait_s: Longest wait, in seconds.
    """

    def __init__(self, *, max_writing: int = 2, max_open: int = 16, wait_s: float = 30.0) -> None:
        self._places = asyncio.Semaphore(max_writing)
        self._max_writing = max_writing
        self._max_open = max_open
        self._wait_s = wait_s
        self._num_open = 0

    async def response(
        self, request: ExportRequest, *, reader: SumsReader, model_layers: Sequence[int]
    ) -> "ExportResponse":
        """Write an export and give the answer that hands it out.

        Args:
            request: Which sums, and how.
            reader: Where they are.
            model_layers: The model's own numbers of its MoE layers.

        Raises:
            BusyError: As many exports as may be are under way.
            StorageError: The store cannot be read, or the temporary folder has no room.
        """
        if self._num_open >= self._max_open:
            raise BusyError(f"{self._num_open} exports are under way, more are not served at once; try again later")
        self._num_open += 1
        try:
            async with self.place():
                export = await asyncio.to_thread(write_export, request, reader=reader, model_layers=model_layers)
        except BaseException:
            self._num_open -= 1
            raise
        return ExportResponse(export, exports=self)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one of the places in which stats are written or read.

        Raises:
            BusyError: None became free in time.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise BusyError(
                f"{self._max_writing} exports or imports are being worked on, and none ended within "
                f"{self._wait_s:g} s; try again later"
            ) from error
        try:
            yield
        finally:
            self._places.release()

    async def close(self, export: Export) -> None:
        """Forget an export."""
        self._num_open -= 1
        await asyncio.to_thread(export.file.close)


class ExportResponse(StreamingResponse):
    """Hands out an export, and forgets it whether or not the client took it."""

    def __init__(self, export: Export, *, exports: Exports) -> None:
        manifest = export.manifest
        super().__init__(
            read_chunks(export.file),
            media_type=MEDIA_TYPES[manifest.format],
            headers={
                "Content-Length": str(manifest.bytes),
                "Content-Disposition": f'attachment; filename="{file_name(manifest)}"',
                "ETag": f'"sha256:{manifest.sha256}"',
                "Cache-Control": "no-store",
                MANIFEST_HEADER: manifest_line(manifest),
            },
        )
        self._export = export
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._exports.close(self._export)


def write_export(request: ExportRequest, *, reader: SumsReader, model_layers: Sequence[int]) -> Export:
    """Write the sums of one moment; call it in a thread.

    Raises:
        StorageError: The store cannot be read, or the temporary folder has no room.
    """
    file = _temporary_file()
    try:
        with reader.read(request.query) as snapshot:
            manifest = write_stats(
                snapshot,
                cast("Any", file),
                format=request.format,
                filters=request.filters,
                model_layers=model_layers,
            )
        file.seek(0)
    except BaseException as error:
        _discard(file)
        if isinstance(error, OSError):
            raise _no_room(error) from error
        raise
    return Export(file=file, manifest=manifest)


async def read_chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Give a file's bytes in pieces."""
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk


def file_name(manifest: Manifest) -> str:
    """Name a download after when its sums were read."""
    until = datetime.fromisoformat(manifest.header.until).astimezone(UTC)
    return f"polyglyph-stats-{until:%Y%m%dT%H%M%SZ}{SUFFIXES[manifest.format]}"


def manifest_line(manifest: Manifest) -> str:
    """Give a manifest as an HTTP header's value: JSON in ASCII, on one line."""
    return json.dumps(manifest.model_dump(mode="json", by_alias=True), ensure_ascii=True)


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_room(error) from error


def _discard(file: IO[bytes]) -> None:
    # What is still in its buffer has no room either.
    with suppress(OSError):
        file.close()


def _no_room(error: OSError) -> StorageError:
    return StorageError(
        f"the export cannot be written to {tempfile.gettempdir()} ({error.strerror or error}); "
        "nothing was sent; make room there, or name another folder with TMPDIR"
    )
