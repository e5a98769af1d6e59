"""Exact labels: the script of every token of a sequence, from all of its bytes; compiled by Numba.

Letters: T tokens, V tokens of the vocabulary, B bytes, N characters, C code points.
"""

import numpy as np
from numba import njit

from polyglyph.kernels.label_scripts.classes import MAX_SCRIPTS, NO_SCRIPT
from polyglyph.routing.scripts.decoding import Array, Int, decode, resolve


@njit
def label_tokens(
    ids_T: Array, data_B: Array, offset_V1: Array, is_text_V: Array, classes_C: Array, out_T: Array
) -> None:
    """Label every token with the script that most of its scripted characters have.

    Args:
        ids_T: int64 token ids.
        data_B: uint8, the bytes of all tokens of the vocabulary.
        offset_V1: int64; token v has the bytes from offset_V1[v] to before offset_V1[v + 1].
        is_text_V: bool; other tokens have no script and part what stands around them, as do ids outside.
        classes_C: Class of each code point.
        out_T: uint8, overwritten.
    """
    num_tokens = len(is_text_V)
    begin = 0
    while begin < len(ids_T):
        end, num_bytes = begin, np.int64(0)
        while end < len(ids_T) and 0 <= ids_T[end] < num_tokens and is_text_V[ids_T[end]]:
            num_bytes += offset_V1[ids_T[end] + 1] - offset_V1[ids_T[end]]
            end += 1
        if end > begin:
            _label_stretch(ids_T[begin:end], num_bytes, data_B, offset_V1, classes_C, out_T[begin:end])
        if end < len(ids_T):
            out_T[end] = NO_SCRIPT
        begin = end + 1


@njit
def _label_stretch(
    ids_T: Array, num_bytes: Int, data_B: Array, offset_V1: Array, classes_C: Array, out_T: Array
) -> None:
    """Label tokens that all are text."""
    text_B, class_N = np.empty(num_bytes, dtype=np.uint8), np.empty(num_bytes, dtype=np.uint8)
    start_N = np.empty(num_bytes + 1, dtype=np.int64)
    filled = 0
    for token in ids_T:
        for byte in range(offset_V1[token], offset_V1[token + 1]):
            text_B[filled] = data_B[byte]
            filled += 1
    count, after = decode(text_B, np.int64(0), num_bytes, classes_C, class_N, start_N)
    if after < num_bytes:
        class_N[count], start_N[count], count = NO_SCRIPT, after, count + 1
    start_N[count] = num_bytes
    resolve(class_N, count)
    _vote(ids_T, offset_V1, class_N, start_N, count, out_T)


@njit
def _vote(ids_T: Array, offset_V1: Array, script_N: Array, start_N: Array, count: Int, out_T: Array) -> None:
    """Give each token the most frequent script of the characters that its bytes take part in."""
    votes = np.zeros(MAX_SCRIPTS, dtype=np.int64)
    character, begin = 0, 0
    for index, token in enumerate(ids_T):
        end = begin + offset_V1[token + 1] - offset_V1[token]
        while character < count and start_N[character + 1] <= begin:
            character += 1
        last = character
        while last < count and start_N[last] < end:
            votes[script_N[last]] += 1
            last += 1
        out_T[index] = winner(script_N, character, last, votes)
        begin = end


@njit
def winner(script_N: Array, begin: Int, end: Int, votes: Array) -> Int:
    """Give the script with most votes, the first met of equal ones, `NO_SCRIPT` for none; clear the votes."""
    best, most = np.int64(NO_SCRIPT), 0
    for index in range(begin, end):
        script = np.int64(script_N[index])
        if script != NO_SCRIPT and votes[script] > most:
            best, most = script, votes[script]
    for index in range(begin, end):
        votes[script_N[index]] = 0
    return best
