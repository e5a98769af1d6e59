"""Markers: classes of tokens by their text, phase or script, each counted for or against.

Letters: n tokens of a sequence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.token_texts import TokenTexts
from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace
from polyglyph.routing.scripts import is_script_of_text

Kind = Literal["text", "phase", "script"]

_CODE = re.compile("[A-Z][a-z]{3}")
_MARKER = re.compile(
    r"(?P<sign>[+-]?)(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)=(?:(?P<kind>text|phase|script):)?(?P<what>.+)"
)


@dataclass(frozen=True)
class Marker:
    """A class of tokens.

    Attributes:
        name: In tables.
        kind: What tells its tokens.
        what: A regular expression that is searched in the sequence's text, a phase, or an ISO 15924 code.
        sign: 1 where experts of the class are sought, -1 where they are avoided.
    """

    name: str
    kind: Kind
    what: str
    sign: int = 1

    def tokens_of(self, trace: SequenceTrace, texts: TokenTexts | None) -> NDArray[np.bool_]:
        """Give which of a sequence's tokens are of the class, bool [n].

        Of a text, every token that takes part in a character of a match is one.

        Raises:
            IdentificationError: It is told by text, and there is no tokenizer.
        """
        if self.kind == "phase":
            is_phase_n: NDArray[np.bool_] = trace.phases == PHASES.index(self.what)
            return is_phase_n
        if self.kind == "script":
            return np.array([script == self.what for script in trace.scripts], dtype=np.bool_)
        if texts is None:
            raise IdentificationError(f"marker {self.name!r} is told by the text of tokens: name a --tokenizer")
        text = texts.read(trace.token_ids)
        return text.tokens_of(text.spans_of(re.compile(self.what)))


def parse_marker(written: str) -> Marker:
    r"""Read `[+|-]NAME=[text:|phase:|script:]WHAT`, such as `think=</?think>`, `-rest=phase:answer`.

    Raises:
        IdentificationError: It is written otherwise, or WHAT is no regular expression, phase or script.
    """
    found = _MARKER.fullmatch(written)
    if found is None:
        raise IdentificationError(
            f"--marker {written!r}: expected NAME=REGEX, NAME=phase:PHASE or NAME=script:CODE, with + or - before the "
            "name to count the class for or against an expert"
        )
    kind, what = found["kind"] or "text", found["what"]
    if kind == "phase" and what not in PHASES:
        raise IdentificationError(f"--marker {written!r}: expected a phase, {', '.join(PHASES)}, got {what!r}")
    if kind == "script" and not is_code(what):
        raise IdentificationError(f"--marker {written!r}: expected an ISO 15924 code such as Latn, got {what!r}")
    try:
        re.compile(what)
    except re.error as error:
        raise IdentificationError(f"--marker {written!r}: no regular expression: {error}") from error
    return Marker(found["name"], kind, what, -1 if found["sign"] == "-" else 1)  # type: ignore[arg-type]


def is_code(text: str) -> bool:
    """Tell an ISO 15924 code from ICU's other names of scripts, such as `Latin`."""
    return _CODE.fullmatch(text) is not None and is_script_of_text(text)


def parse_markers(written: Sequence[str]) -> tuple[Marker, ...]:
    """Read several.

    Raises:
        IdentificationError: There is none, one is written wrongly, two have one name, or none is counted for.
    """
    markers = tuple(parse_marker(each) for each in written)
    names = [marker.name for marker in markers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise IdentificationError(f"--marker: two classes are named {twice!r}; name them apart")
    if not any(marker.sign > 0 for marker in markers):
        raise IdentificationError("--marker: expected at least one class that is counted for an expert")
    return markers
