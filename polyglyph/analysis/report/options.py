"""Options of `polyglyph analyze`, read into what the report takes."""

from collections.abc import Sequence

import typer


def columns_of(by: Sequence[str] | None) -> tuple[str, ...]:
    """Read `--by`: labels, as the command line or the files write them."""
    return tuple(dict.fromkeys(name.replace("-", "_") for name in by or ["script"]))


def pairs_of(pairs: Sequence[str] | None) -> list[tuple[str, str]]:
    """Read `--pair A:B`."""
    return [_pair(text) for text in pairs or ()]


def named_of(sets: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """Read `--group NAME=A+B`."""
    found = {}
    for text in sets or ():
        name, equals, members = text.partition("=")
        if not (name and equals and all(members.split("+"))):
            raise typer.BadParameter(f"--group: expected NAME=A+B, a name and groups, got {text!r}")
        found[name] = tuple(members.split("+"))
    return found


def filters_of(where: Sequence[str] | None) -> dict[str, list[str]]:
    """Read `--where LABEL=A,B`; one label may be named once."""
    found: dict[str, list[str]] = {}
    for text in where or ():
        label, equals, values = text.partition("=")
        column = label.replace("-", "_")
        if not (label and equals and all(values.split(","))):
            raise typer.BadParameter(
                f"--where: expected LABEL=VALUE or LABEL=A,B, got {text!r}; the value of none is none"
            )
        if column in found:
            raise typer.BadParameter(f"--where: expected {label} once, its values with commas, got it twice")
        found[column] = values.split(",")
    return found


def _pair(text: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not (first and colon and second):
        raise typer.BadParameter(f"--pair: expected A:B, two groups, got {text!r}")
    return first, second
