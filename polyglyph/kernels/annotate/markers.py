"""Phase markers: a small automaton over token ids that knows whether a token is inside a reasoning block.

Shapes: C distinct marker tokens, S states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

Marker = tuple[int, ...]
Node = tuple[Marker, bool]
"""Longest suffix of the text that begins a marker, and whether a reasoning block is open."""


@dataclass(frozen=True, eq=False)
class MarkerAutomaton:
    """A complete automaton with start state 0; class 0 stands for every token that is in no marker.

    From any state, two tokens of class 0 lead where one leads: long stretches between markers cost nothing.

    Attributes:
        tokens: int32 [C], the distinct marker tokens, ascending; token c has class c + 1.
        table: int32 [S, C + 1], the state after a token of that class.
        is_reasoning: bool [S], whether a token read *into* this state is a reasoning token.
    """

    tokens: Tensor
    table: Tensor
    is_reasoning: Tensor

    @classmethod
    def build(
        cls, open_sequences: Sequence[Sequence[int]] = (), close_sequences: Sequence[Sequence[int]] = ()
    ) -> "MarkerAutomaton":
        """Build the automaton for the sequences that open and close a reasoning block.

        Where several markers end at the same token, the longest counts. With nothing that opens a block, the automaton
        has one state, which is not reasoning.

        Raises:
            ValueError: A sequence is empty, holds a negative id, or both opens and closes.
        """
        opens, closes = _markers(open_sequences), _markers(close_sequences)
        for marker in sorted(opens & closes):
            raise ValueError(f"marker {list(marker)} is listed as opening and as closing a block; keep one of them")
        alphabet = sorted({token for marker in opens | closes for token in marker}) if opens else []
        table, is_reasoning = _minimise(*_explore(opens, closes, alphabet))
        return cls(
            tokens=torch.tensor(alphabet, dtype=torch.int32),
            table=torch.tensor(table, dtype=torch.int32),
            is_reasoning=torch.tensor(is_reasoning, dtype=torch.bool),
        )

    @property
    def num_states(self) -> int:
        """Number of states, S."""
        return len(self.table)

    @cached_property
    def _markers(self) -> frozenset[int]:
        return frozenset(self.tokens.tolist())

    def to(self, device: torch.device | str) -> "MarkerAutomaton":
        """Give the automaton with its tensors on a device."""
        return MarkerAutomaton(self.tokens.to(device), self.table.to(device), self.is_reasoning.to(device))

    def run(self, token_ids: Sequence[int] | np.ndarray, state: int = 0) -> int:
        """Give the state after the tokens, on the host; the automaton must be on the CPU.

        Only marker tokens are walked in Python, everything between them is skipped.
        """
        if not self._markers or not len(token_ids):
            return state
        table = self.table.numpy()
        if self._markers.isdisjoint(token_ids):
            return int(table[state, 0])
        ids, markers = np.asarray(token_ids), self.tokens.numpy()
        end = 0
        for index in np.flatnonzero(np.isin(ids, markers)):
            if index > end:
                state = table[state, 0]
            state = table[state, np.searchsorted(markers, ids[index]) + 1]
            end = index + 1
        return int(table[state, 0] if len(ids) > end else state)


def _markers(sequences: Sequence[Sequence[int]]) -> set[Marker]:
    markers = {tuple(int(token) for token in sequence) for sequence in sequences}
    for marker in markers:
        if not marker or min(marker) < 0:
            raise ValueError(f"a marker needs at least one token id of 0 or more, got {list(marker)}")
    return markers


def _explore(opens: set[Marker], closes: set[Marker], alphabet: list[int]) -> tuple[list[list[int]], list[bool]]:
    """Number every node reachable from the start, and give its successors (Aho and Corasick, 1975)."""
    step = _make_step(opens, closes)
    start: Node = ((), False)
    number, nodes, table = {start: 0}, [start], []
    for node in nodes:  # grows while it is walked
        successors = [((), node[1])] + [step(node, token) for token in alphabet]
        for successor in successors:
            if successor not in number:
                number[successor] = len(nodes)
                nodes.append(successor)
        table.append([number[successor] for successor in successors])
    return table, [is_open for _, is_open in nodes]


def _make_step(opens: set[Marker], closes: set[Marker]) -> Callable[[Node, int], Node]:
    prefixes = {marker[:end] for marker in opens | closes for end in range(len(marker) + 1)}

    def step(node: Node, token: int) -> Node:
        text, is_open = (*node[0], token), node[1]
        suffixes = [text[begin:] for begin in range(len(text) + 1)]
        ended = next((suffix for suffix in suffixes if suffix in opens or suffix in closes), None)
        return next(suffix for suffix in suffixes if suffix in prefixes), is_open if ended is None else ended in opens

    return step


def _minimise(table: list[list[int]], is_reasoning: list[bool]) -> tuple[list[list[int]], list[bool]]:
    """Merge states that no continuation tells apart (Moore, 1956); the start stays state 0."""
    block = [int(flag) for flag in is_reasoning]
    while True:
        signatures = [(block[state], *(block[successor] for successor in row)) for state, row in enumerate(table)]
        number = {signature: index for index, signature in enumerate(dict.fromkeys(signatures))}
        refined = [number[signature] for signature in signatures]
        if len(number) == len(set(block)):
            break
        block = refined
    first = [refined.index(index) for index in range(len(number))]
    return [[refined[successor] for successor in table[state]] for state in first], [is_reasoning[s] for s in first]
