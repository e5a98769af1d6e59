"""Classes of responses: a name and a pattern each, such as `refused=(?i)^I (cannot|will not)`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from polyglyph.analysis.identification.errors import IdentificationError

OTHER = "other"


@dataclass(frozen=True)
class ResponseClass:
    """A class of responses.

    Attributes:
        name: What a response of it is labelled.
        pattern: Found anywhere in the answer, without its reasoning.
    """

    name: str
    pattern: re.Pattern[str]


def parse_class(text: str) -> ResponseClass:
    """Read `NAME=REGEX`.

    Raises:
        IdentificationError: It is none, or the name is taken.
    """
    name, separator, pattern = text.partition("=")
    if not (separator and name.strip() and pattern):
        raise IdentificationError(f"--class: expected NAME=REGEX, got {text!r}")
    if name.strip() == OTHER:
        raise IdentificationError(f"--class: {OTHER!r} is the class of responses that match none; name it otherwise")
    try:
        return ResponseClass(name.strip(), re.compile(pattern))
    except re.error as error:
        raise IdentificationError(f"--class {name}: {pattern!r} is no regular expression: {error}") from error


def class_of(text: str, classes: Sequence[ResponseClass]) -> str:
    """Give the name of the first class whose pattern is found, else `other`."""
    return next((each.name for each in classes if each.pattern.search(text)), OTHER)
