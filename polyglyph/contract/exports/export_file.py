"""A file that appears whole, with its manifest, or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from polyglyph.contract.exports.manifest import Manifest, manifest_path


@dataclass
class Export:
    """What is being written.

    Attributes:
        file: Takes the bytes.
        manifest: To be set before the file is closed.
    """

    file: BinaryIO
    manifest: Manifest | None = None


@contextmanager
def export_file(path: Path) -> Iterator[Export]:
    """Write beside the target, and move there when all is well; otherwise leave what stood there.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            export = Export(file)
            yield export
            assert export.manifest is not None
            file.flush()
            os.fsync(file.fileno())
        # In this order a crash leaves a file without a manifest, never one with another's.
        manifest_path(path).unlink(missing_ok=True)
        partial.replace(path)
        manifest_path(path).write_text(export.manifest.model_dump_json(by_alias=True, indent=2) + "\n", "utf-8")
    finally:
        partial.unlink(missing_ok=True)
