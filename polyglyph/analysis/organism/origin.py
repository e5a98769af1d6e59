"""Origin: which world and variant a saved organism comes from. Needs nothing but its card."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglyph.analysis.organism.errors import OutputError

SCHEMA = "polyglyph.organism-card/2"
CARD_NAME = "card.json"


@dataclass(frozen=True)
class Origin:
    """What an organism was made from.

    Attributes:
        seed: Of its world.
        variant: What was engineered into it.
    """

    seed: int
    variant: str


def read_origin(path: Path) -> Origin:
    """Read an organism's origin from its card.

    Raises:
        OutputError: There is no card, or it is of another schema.
    """
    training = read_card(path)["training"]
    return Origin(training["seed"], training["variant"])


def read_card(path: Path) -> dict[str, Any]:
    """Read the card of a saved organism.

    Raises:
        OutputError: There is no card, or it is of another schema.
    """
    file = path / CARD_NAME
    if not file.is_file():
        raise OutputError(f"{file} is missing: it tells the seed of the world to evaluate; train again to get one")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise OutputError(f"{file} has schema {document.get('schema')!r}, expected {SCHEMA!r}")
    return document
