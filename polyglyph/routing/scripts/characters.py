"""Every code point's class by ICU: its script's index, or how it takes its neighbours' script.

Letters: C code points, B blocks of 64, A areas of 4096 code points.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import icu
import numpy as np
from numpy.typing import NDArray

from polyglyph.kernels.label_scripts.classes import AMBIGUOUS, LETTER, MARK, MAX_SCRIPTS, NO_SCRIPT

Classes = NDArray[np.uint8]

NUM_CODE_POINTS = 0x110000
BLOCK, REGION = 64, 4096
"""Code points that share all bytes of their UTF-8 form but the last one, or the last two."""

_NOT_SCRIPTS = frozenset({"Zyyy", "Zinh", "Zzzz"})


@dataclass(frozen=True, eq=False)
class Characters:
    """What ICU knows of characters, as tables.

    Attributes:
        scripts: ISO 15924 codes by index: `Zyyy`, then every script that has a character, in alphabetical order.
        classes_C: uint8 [0x110000], index of the script; `LETTER` and `MARK` for what takes a neighbour's script.
        blocks_B: uint8 [0x4400], class of more than half of the assigned characters of 64, else `AMBIGUOUS`.
        regions_A: uint8 [0x110], the same of 4096.
    """

    scripts: tuple[str, ...]
    classes_C: Classes
    blocks_B: Classes
    regions_A: Classes


@cache
def characters() -> Characters:
    """Read ICU's properties, once per process: about 20 ms."""
    scripts = ("Zyyy", *_scripts())
    assert len(scripts) <= MAX_SCRIPTS
    classes_C = np.full(NUM_CODE_POINTS, NO_SCRIPT, dtype=np.uint8)
    for index, script in enumerate(scripts[1:], start=1):
        _fill(classes_C, f"[:sc={script}:]", index)
    _fill(classes_C, "[[:sc=Zyyy:]&[[:L:][:M:]]]", LETTER)
    _fill(classes_C, "[:sc=Zinh:]", MARK)
    is_assigned_C = np.zeros(NUM_CODE_POINTS, dtype=np.uint8)
    _fill(is_assigned_C, "[^[:sc=Zzzz:]]", 1)
    # Four-byte forms begin at 0x10000 and three-byte ones at 0x800: region 0 is only ever read for the latter.
    begins_C = is_assigned_C.copy()
    begins_C[:0x800] = 0
    return Characters(
        scripts=scripts,
        classes_C=classes_C,
        blocks_B=_majorities(classes_C, is_assigned_C, BLOCK),
        regions_A=_majorities(classes_C, begins_C, REGION),
    )


def _scripts() -> list[str]:
    codes = range(icu.Char.getIntPropertyMaxValue(icu.UProperty.SCRIPT) + 1)
    names = {str(icu.Script(code).getShortName()) for code in codes}
    return sorted(name for name in names - _NOT_SCRIPTS if not icu.UnicodeSet(f"[:sc={name}:]").isEmpty())


def _fill(values_C: Classes, pattern: str, value: int) -> None:
    """Write a value wherever ICU's pattern holds."""
    found: Any = icu.UnicodeSet(pattern)
    for index in range(found.getRangeCount()):
        begin, end = ord(found.getRangeStart(index)), ord(found.getRangeEnd(index))
        values_C[begin : end + 1] = value


def _majorities(classes_C: Classes, is_counted_C: Classes, width: int) -> Classes:
    """Give for each stretch of `width` code points the class of more than half of the counted ones."""
    found = np.full(NUM_CODE_POINTS // width, AMBIGUOUS, dtype=np.uint8)
    pairs = zip(classes_C.reshape(-1, width), is_counted_C.reshape(-1, width), strict=True)
    for index, (classes, is_counted) in enumerate(pairs):
        counts = np.bincount(classes[is_counted != 0], minlength=1)
        if 2 * counts.max() > counts.sum():
            found[index] = counts.argmax()
    return found
