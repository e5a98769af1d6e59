"""The table that labels tokens on the device, made from the bytes of a vocabulary; compiled by Numba.

Letters: V tokens of the vocabulary, B bytes, N characters, C code points.
"""

import numpy as np
import torch
from numba import njit

from polyglyph.kernels.label_scripts import LabelTable
from polyglyph.kernels.label_scripts.classes import LETTER, MARK, MAX_SCRIPTS, NO_SCRIPT, NOTHING
from polyglyph.kernels.label_scripts.rows import LENGTH_SHIFT, MISSING_SHIFT
from polyglyph.kernels.label_scripts.table import (
    ATTACHES,
    BREAK,
    HEAD_BITS,
    HEAD_LEN_SHIFT,
    MAX_HEAD_LEN,
    OUTVOTES,
)
from polyglyph.routing.scripts.characters import Characters
from polyglyph.routing.scripts.decoding import Array, Int, decode, resolve
from polyglyph.routing.scripts.exact import winner
from polyglyph.routing.scripts.vocabulary import Vocabulary


def build_label_table(vocabulary: Vocabulary, characters: Characters) -> LabelTable:
    """Give the table of a vocabulary, on the CPU."""
    num_rows = vocabulary.num_tokens + 1
    bytes_4V = np.zeros((4, num_rows), dtype=np.uint8)
    ints_2V = np.zeros((2, num_rows), dtype=np.int32)
    bytes_4V[1] = NOTHING
    bytes_4V[3] = BREAK
    _fill(
        vocabulary.data_B,
        vocabulary.offset_V1,
        vocabulary.is_text_V,
        characters.classes_C,
        int(np.diff(vocabulary.offset_V1).max(initial=0)),
        bytes_4V,
        ints_2V,
    )
    label_V, end_V, scripted_V, flags_V = map(torch.from_numpy, bytes_4V)
    head_V, tail_V = map(torch.from_numpy, ints_2V)
    return LabelTable(
        scripts=characters.scripts,
        label_V=label_V,
        end_V=end_V,
        scripted_V=scripted_V,
        flags_V=flags_V,
        head_V=head_V,
        tail_V=tail_V,
        characters=torch.from_numpy(characters.classes_C),
        ranges_B=torch.from_numpy(characters.ranges_B),
        is_home_SB=torch.from_numpy(characters.is_home_SB),
    )


@njit
def _fill(
    data_B: Array,
    offset_V1: Array,
    is_text_V: Array,
    classes_C: Array,
    longest: Int,
    bytes_4V: Array,
    ints_2V: Array,
) -> None:
    """Write label, end, scripted, flags, and head, tail, of every token of text."""
    class_N, script_N = np.empty(longest, dtype=np.uint8), np.empty(longest, dtype=np.uint8)
    start_N, votes = np.empty(longest, dtype=np.int64), np.zeros(MAX_SCRIPTS, dtype=np.int64)
    for token in range(len(is_text_V)):
        begin, end = offset_V1[token], offset_V1[token + 1]
        if not is_text_V[token] or begin == end:
            continue
        body, head = _read_head(data_B, begin, end)
        count, after = decode(data_B, body, end, classes_C, class_N, start_N)
        bytes_4V[3, token] = 0
        ints_2V[0, token], ints_2V[1, token] = head, _read_tail(data_B, after, end)
        if count:
            # A loop: compiling the assignment of a slice takes two seconds.
            for index in range(count):
                script_N[index] = class_N[index]
            resolve(script_N, count)
            bytes_4V[0, token] = _elect(script_N, np.int64(0), count, votes)[0]
            bytes_4V[2, token] = _last_scripted(script_N, count)
            num_attached = _count_attached(class_N, count)
            bytes_4V[1, token] = MARK if num_attached == count else script_N[count - 1]
            bytes_4V[3, token] = _flags(script_N, count, num_attached, votes)


@njit
def _read_head(data_B: Array, begin: Int, end: Int) -> tuple[Int, Int]:
    """Give where the continuation bytes at the beginning end, and the head of `LabelTable`."""
    index, head = begin, 0
    while index < end and 0x80 <= data_B[index] <= 0xBF:
        if index - begin < MAX_HEAD_LEN - 1:
            head |= (np.int64(data_B[index]) & 0x3F) << HEAD_BITS * (index - begin)
        index += 1
    return index, head | min(index - begin, MAX_HEAD_LEN) << HEAD_LEN_SHIFT


@njit
def _read_tail(data_B: Array, begin: Int, end: Int) -> Int:
    """Give the unfinished character of the bytes that begin one, 0 for none."""
    if begin == end:
        return 0
    lead = np.int64(data_B[begin])
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    code = lead & (0x7F >> length)
    for index in range(begin + 1, end):
        code = code << HEAD_BITS | np.int64(data_B[index]) & 0x3F
    return length << LENGTH_SHIFT | length - (end - begin) << MISSING_SHIFT | code


@njit
def _flags(script_N: Array, count: Int, num_attached: Int, votes: Array) -> Int:
    """Give `ATTACHES` where the attached characters match the others' winner, `OUTVOTES` where the winner has two."""
    attaches = num_attached > 0 and num_attached >= _elect(script_N, num_attached, count, votes)[1]
    outvotes = _elect(script_N, np.int64(0), count, votes)[1] > 1
    return (ATTACHES if attaches else 0) | (OUTVOTES if outvotes else 0)


@njit
def _elect(script_N: Array, begin: Int, end: Int, votes: Array) -> tuple[Int, Int]:
    """Give the winner among the characters from `begin` to before `end`, and its votes."""
    for index in range(begin, end):
        votes[script_N[index]] += 1
    best = winner(script_N, begin, end, votes)
    num_votes = 0
    for index in range(begin, end):
        num_votes += script_N[index] == best != NO_SCRIPT
    return best, num_votes


@njit
def _count_attached(class_N: Array, count: Int) -> Int:
    """Give how many characters at the beginning take the script of what stands before them."""
    index = 0
    while index < count and class_N[index] >= LETTER:
        index += 1
    return index


@njit
def _last_scripted(script_N: Array, count: Int) -> Int:
    for index in range(count - 1, -1, -1):
        if script_N[index] != NO_SCRIPT:
            return np.int64(script_N[index])
    return np.int64(NO_SCRIPT)
