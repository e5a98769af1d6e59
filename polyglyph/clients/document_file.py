"""A document of the server's as a file of this machine."""

import json
from pathlib import Path
from typing import Any

from polyglyph.clients.errors import UnwritableFileError


def save_document(document: dict[str, Any], path: Path) -> None:
    """Write a document as JSON that people read.

    Raises:
        UnwritableFileError: The file cannot be written; the text names it.
    """
    try:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
