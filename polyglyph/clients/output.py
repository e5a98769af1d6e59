"""Data goes to stdout, words go to stderr."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print a JSON value as data."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_data(data: RenderableType) -> None:
    """Print a table or text as data."""
    # Text is left as it is, so that a line stays a line in a pipe.
    Console(file=sys.stdout, highlight=False, markup=False).print(data, soft_wrap=isinstance(data, str))


def say(words: RenderableType, *, style: str | None = None) -> None:
    """Say something that is no data."""
    words_console().print(words, style=style)


def say_error(message: str) -> None:
    """Say why a command ends."""
    words_console().print(f"error: {message}", style="red", soft_wrap=True)


def words_console() -> Console:
    """Give the console for words; made anew, because tests replace the streams."""
    return Console(file=sys.stderr, highlight=False, markup=False)
