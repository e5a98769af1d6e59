"""The formats of an export: their names, file suffixes and media types."""

from pathlib import PurePath
from typing import Literal, get_args

from polyglyph.contract.errors import RequestError

Format = Literal["json", "parquet", "arrow", "csv", "npz", "safetensors", "eplb"]
FORMATS: tuple[Format, ...] = get_args(Format)

SUFFIXES: dict[Format, str] = {
    "json": ".json",
    "parquet": ".parquet",
    "arrow": ".arrow",
    "csv": ".csv",
    "npz": ".npz",
    "safetensors": ".safetensors",
    "eplb": ".eplb.json",
}
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
    "csv": "text/csv; charset=utf-8",
    "npz": "application/zip",
    "safetensors": "application/octet-stream",
    "eplb": "application/json",
}


def format_of(path: PurePath) -> Format:
    """Give the format that a file's name asks for.

    Raises:
        RequestError: The suffix is of no format.
    """
    # The longest suffix first: `.eplb.json` ends in `.json` too.
    for name, suffix in sorted(SUFFIXES.items(), key=lambda item: -len(item[1])):
        if path.name.lower().endswith(suffix):
            return name
    raise RequestError(f"{path}: the name says no format; end it in {', '.join(SUFFIXES.values())}, or name a format")
