"""UTF-8 bytes to characters and their scripts, compiled by Numba: what exact labels and the device's table share.

Letters: B bytes, N characters, C code points.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from polyglyph.kernels.label_scripts.classes import LETTER, NO_SCRIPT

Array = NDArray[Any]
Int = Any
"""np.int64 in compiled code, where an unsigned byte would turn sums into floats."""

INVALID = -1
"""In place of a code point: bytes that are no character."""
UNFINISHED = -2
"""In place of a code point: the bytes end within a character."""


@njit
def next_character(data_B: Array, begin: Int, end: Int) -> tuple[Int, Int]:
    """Read one character.

    Args:
        data_B: uint8.
        begin: Where it begins.
        end: Where the bytes end.

    Returns:
        Its code point, `INVALID` or `UNFINISHED`, and where it ends. Invalid bytes are taken together as far as
        they begin a character (Unicode, section 3.9: maximal subparts).
    """
    lead = np.int64(data_B[begin])
    if lead < 0x80:
        return lead, begin + 1
    if lead < 0xC2 or lead > 0xF4:
        return INVALID, begin + 1
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    code = lead & (0x7F >> length)
    low, high = second_byte_range(lead)
    for index in range(begin + 1, begin + length):
        if index == end:
            return UNFINISHED, end
        byte = np.int64(data_B[index])
        if not low <= byte <= high:
            return INVALID, index
        code, low, high = code << 6 | byte & 0x3F, 0x80, 0xBF
    return code, begin + length


@njit
def second_byte_range(lead: Int) -> tuple[Int, Int]:
    """Give the least and the greatest byte after a lead byte (Unicode, table 3-7)."""
    if lead == 0xE0:
        return 0xA0, 0xBF
    if lead == 0xED:
        return 0x80, 0x9F
    if lead == 0xF0:
        return 0x90, 0xBF
    if lead == 0xF4:
        return 0x80, 0x8F
    return 0x80, 0xBF


@njit
def decode(data_B: Array, begin: Int, end: Int, classes_C: Array, class_N: Array, start_N: Array) -> tuple[Int, Int]:
    """Read characters until the bytes end.

    Args:
        data_B: uint8.
        begin: First byte to read.
        end: Where to stop.
        classes_C: Class of each code point.
        class_N: Overwritten with each character's class, `NO_SCRIPT` for invalid bytes; at least end - begin long.
        start_N: Overwritten with the index of each character's first byte.

    Returns:
        Number of characters, and where an unfinished last one begins (it is not counted), else `end`.
    """
    count = 0
    while begin < end:
        code, after = next_character(data_B, begin, end)
        if code == UNFINISHED:
            return count, begin
        class_N[count] = NO_SCRIPT if code == INVALID else classes_C[code]
        start_N[count] = begin
        begin, count = after, count + 1
    return count, end


@njit
def resolve(class_N: Array, count: Int) -> None:
    """Turn the classes of adjacent characters into scripts, in place.

    Inherited characters take the script of the one before. So do letters and marks shared by scripts if that one has a
    script; else they take that of the next character which is neither.
    """
    before, sought = np.int64(NO_SCRIPT), 0
    for index in range(count):
        character = np.int64(class_N[index])
        if character < LETTER:
            before = character
        elif character == LETTER and before == NO_SCRIPT:
            sought = max(sought, index)
            while sought < count and class_N[sought] >= LETTER:
                sought += 1
            before = np.int64(class_N[sought]) if sought < count else np.int64(NO_SCRIPT)
        class_N[index] = before
