"""The phases of a text by plain reading: what the automaton and the kernels are compared with."""

from collections.abc import Sequence

PROMPT, REASONING, ANSWER = 0, 1, 2


def phases_of(
    text: Sequence[int], prompt_len: int, opens: Sequence[Sequence[int]], closes: Sequence[Sequence[int]]
) -> list[int]:
    """Give every token's phase: what the text up to it, itself included, says."""
    generated = [REASONING if is_open else ANSWER for is_open in open_before(text, opens, closes)[1:]]
    return [PROMPT] * min(prompt_len, len(text)) + generated[prompt_len:]


def open_before(text: Sequence[int], opens: Sequence[Sequence[int]], closes: Sequence[Sequence[int]]) -> list[bool]:
    """Say for every token, and for the end, whether a block is open there; the longest marker that ends decides."""
    is_open = [False]
    markers = {tuple(marker): True for marker in opens} | {tuple(marker): False for marker in closes}
    for end in range(1, len(text) + 1):
        ended = [marker for marker in markers if tuple(text[max(0, end - len(marker)) : end]) == marker]
        is_open.append(markers[max(ended, key=len)] if ended else is_open[-1])
    return is_open
