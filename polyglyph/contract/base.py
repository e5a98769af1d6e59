"""The rules every document shares: unknown fields, coercion and non-finite numbers are refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyglyph.contract.errors import RequestError

ScriptCode = Annotated[str, Field(pattern=r"^[A-Z][a-z]{3}$")]


class Document(BaseModel):
    """An immutable document that never coerces what it is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def digest(document: Any) -> str:
    """Give `sha256:<hex>` of a JSON-like value's canonical form (RFC 8785)."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def read_json(path: Path, *, kind: str) -> Any:
    """Read a file's JSON.

    Args:
        path: The file.
        kind: What it should be, such as `plan`.

    Raises:
        RequestError: The file cannot be read or is no JSON; the text names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RequestError(f"{path}: not a readable {kind} file: {error}") from error


Location = tuple[int | str, ...]


def as_request_error(
    error: ValidationError, *, root: str, locate: Callable[[Location], Location] = lambda location: location
) -> RequestError:
    """Turn a pydantic error into the 400 that names the first offending field.

    Args:
        error: What pydantic raised.
        root: Name of the field that holds the document, such as `steering`.
        locate: Gives a field's path in the user's document for pydantic's.
    """
    first = error.errors(include_url=False)[0]
    param = field_path(root, locate(first["loc"]))
    came = first.get("input")
    shown = "" if first["type"] == "missing" else f" (got {_short(came)})"
    return RequestError(f"{param}: {first['msg']}{shown}", param=param)


def field_path(root: str, location: Location) -> str:
    """Write a pydantic location as a path, `steering.edits[2].value`."""
    path = root
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
