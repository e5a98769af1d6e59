"""Takes an export from the server into a file: whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from pydantic import ValidationError

from polyglyph.clients.errors import AnswerError, UnwritableFileError
from polyglyph.contract.exports.export_file import export_file
from polyglyph.contract.exports.manifest import Manifest
from polyglyph.contract.exports.stream import HashedFile

MANIFEST_HEADER = "X-Polyglyph-Manifest"


class Receiver:
    """Takes the bytes of an answer and compares them with its manifest.

    Args:
        file: Where they go.
        path: The file's final name, for error texts.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._hashed = HashedFile(file)
        self._path = path
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """What the server said of the export."""
        assert self._manifest is not None
        return self._manifest

    def begin(self, response: httpx.Response) -> None:
        """Read the manifest.

        Raises:
            AnswerError: There is none, so what answers is no server that exports.
        """
        line = response.headers.get(MANIFEST_HEADER, "")
        try:
            self._manifest = Manifest.model_validate_json(line)
        except ValidationError as error:
            raise AnswerError(
                f"{response.url} sent no manifest ({MANIFEST_HEADER}): what answers there is no Polyglyph server, "
                "or another release"
            ) from error

    def write(self, chunk: bytes) -> None:
        """Keep the next bytes."""
        self._hashed.write(chunk)

    def check(self) -> None:
        """Compare what came with the manifest.

        Raises:
            AnswerError: It is not all there, or not what was sent.
        """
        wanted = self.manifest
        if self._hashed.num_bytes != wanted.bytes:
            raise AnswerError(
                f"{self._path} was not written: the export has {wanted.bytes} bytes, {self._hashed.num_bytes} came"
            )
        if self._hashed.sha256 != wanted.sha256:
            raise AnswerError(
                f"{self._path} was not written: the export's SHA-256 is {wanted.sha256}, "
                f"that of what came {self._hashed.sha256}"
            )


@contextmanager
def receiving(path: Path) -> Iterator[Receiver]:
    """Write what is received beside the target, and move it there once it is whole.

    Raises:
        AnswerError: The connection broke off, or something else than announced came; the target is as it was.
        UnwritableFileError: The folder cannot be written, or the disk is full.
    """
    try:
        with export_file(path) as export:
            receiver = Receiver(export.file, path)
            yield receiver
            receiver.check()
            export.manifest = receiver.manifest
    except httpx.TransportError as error:
        raise AnswerError(f"{path} was not written: the export broke off ({_reason(error)})") from error
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error


def _reason(error: Any) -> str:
    return str(error) or type(error).__name__
