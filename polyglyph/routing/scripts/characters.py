"""Every code point's class by ICU: its script's index, or how it takes its neighbours' script.

Letters: C code points, S scripts, B ranges of code points (see `kernels.label_scripts.table`), K classes.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import icu
import numpy as np
from numpy.typing import NDArray

from polyglyph.kernels.label_scripts.classes import AMBIGUOUS, LETTER, MARK, MAX_SCRIPTS, NO_SCRIPT
from polyglyph.kernels.label_scripts.table import FIRST_REGION, NUM_RANGES

Classes = NDArray[np.uint8]

NUM_CODE_POINTS = 0x110000
NUM_CLASSES = 256
BLOCK, REGION = 64, 4096
"""Code points that share all bytes of their UTF-8 form but the last one, or the last two."""

_NOT_SCRIPTS = frozenset({"Zyyy", "Zinh", "Zzzz"})


@dataclass(frozen=True, eq=False)
class Characters:
    """What ICU knows of characters, as tables.

    Attributes:
        scripts: ISO 15924 codes by index: `Zyyy`, then every script that has a character, in alphabetical order.
        classes_C: uint8 [0x110000], index of the script; `LETTER` and `MARK` for what takes a neighbour's script.
        ranges_B: uint8 [NUM_RANGES], class of more than half of a range's assigned characters, else `AMBIGUOUS`.
        is_home_SB: bool [S, NUM_RANGES], whether the script has characters in the range; where most are shared by
            scripts, whether more than half of the script's are there.
    """

    scripts: tuple[str, ...]
    classes_C: Classes
    ranges_B: Classes
    is_home_SB: NDArray[np.bool_]


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
    ranges_B, is_home_SB = _survey(classes_C, is_assigned_C, num_scripts=len(scripts))
    return Characters(scripts, classes_C, ranges_B, is_home_SB)


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


def _survey(classes_C: Classes, is_assigned_C: Classes, *, num_scripts: int) -> tuple[Classes, NDArray[np.bool_]]:
    """Give the majority of every range of characters, and where each script is at home."""
    counts_BK = np.concatenate((_count(classes_C, is_assigned_C, BLOCK), _count(classes_C, is_assigned_C, REGION)))
    # Region 0 is read for the three-byte forms that begin with E0, and those begin at 0x800.
    counts_BK[FIRST_REGION] -= counts_BK[: 0x800 // BLOCK].sum(0)
    counts_BK = np.concatenate((counts_BK, np.zeros_like(counts_BK[:1])))

    ranges_B = np.full(NUM_RANGES, AMBIGUOUS, dtype=np.uint8)
    has_majority_B = 2 * counts_BK.max(1) > counts_BK.sum(1)
    ranges_B[has_majority_B] = counts_BK.argmax(1)[has_majority_B]

    counts_SB = counts_BK[:, :num_scripts].T
    total_S1 = counts_BK[:FIRST_REGION, :num_scripts].sum(0)[:, None]
    is_shared_B = (ranges_B == NO_SCRIPT) | (ranges_B >= LETTER)
    is_home_SB = (counts_SB > 0) & (~is_shared_B | (2 * counts_SB > total_S1))
    is_home_SB[NO_SCRIPT] = False
    return ranges_B, np.ascontiguousarray(is_home_SB)


def _count(classes_C: Classes, is_assigned_C: Classes, width: int) -> NDArray[np.int64]:
    """Give how many assigned characters of each class every stretch of `width` code points has."""
    range_C = np.arange(NUM_CODE_POINTS) // width
    cell_C = (range_C * NUM_CLASSES + classes_C)[is_assigned_C != 0]
    num_ranges = NUM_CODE_POINTS // width
    return np.bincount(cell_C, minlength=num_ranges * NUM_CLASSES).reshape(num_ranges, NUM_CLASSES)
