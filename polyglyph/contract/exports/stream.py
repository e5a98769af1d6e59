"""A file that is hashed and counted while it is written."""

from hashlib import sha256
from types import TracebackType
from typing import BinaryIO, Self


class HashedFile:
    """Writes on to another file, front to back; what the formats' writers get.

    Args:
        file: Takes the bytes; stays open.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes; gives their number."""
        view = memoryview(data)
        self._hash.update(view)
        self._file.write(view)
        self.num_bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Give the number of bytes written."""
        return self.num_bytes

    def flush(self) -> None:
        """Hand on what the other file holds back."""
        self._file.flush()

    def readable(self) -> bool:
        """Whether it can be read: never."""
        return False

    def writable(self) -> bool:
        """Whether it can be written: always."""
        return True

    def seekable(self) -> bool:
        """Whether one may go back: never, what was hashed stays."""
        return False

    def close(self) -> None:
        """Leave the other file open: it is its owner's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
