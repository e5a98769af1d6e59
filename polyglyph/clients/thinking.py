"""Tells reasoning from answer in a text that still has its thinking markers."""

from collections.abc import Iterator

OPEN, CLOSE = "<think>", "</think>"


class ThinkingSplitter:
    """Splits a text that comes in pieces, which may cut a marker in two."""

    def __init__(self) -> None:
        self._is_reasoning = False
        self._held = ""

    def feed(self, piece: str) -> Iterator[tuple[bool, str]]:
        """Give what is certain so far: whether it is reasoning, and the text without markers."""
        self._held += piece
        while True:
            before, marker, after = self._held.partition(self._awaited)
            if not marker:
                break
            yield self._is_reasoning, before
            self._is_reasoning, self._held = not self._is_reasoning, after
        certain = len(self._held) - _overlap(self._held, self._awaited)
        yield self._is_reasoning, self._held[:certain]
        self._held = self._held[certain:]

    def finish(self) -> Iterator[tuple[bool, str]]:
        """Give what looked like the beginning of a marker and was none."""
        yield self._is_reasoning, self._held
        self._held = ""

    @property
    def _awaited(self) -> str:
        return CLOSE if self._is_reasoning else OPEN


def split_thinking(text: str) -> tuple[str, str]:
    """Give reasoning and answer of a whole text; a template may have opened the block in the prompt."""
    if CLOSE in text and OPEN not in text:
        text = OPEN + text
    splitter = ThinkingSplitter()
    parts = [*splitter.feed(text), *splitter.finish()]
    reasoning, answer = (
        "".join(part for is_reasoning, part in parts if is_reasoning is wanted) for wanted in (True, False)
    )
    return reasoning.strip(), answer.strip() if reasoning else answer


def _overlap(text: str, marker: str) -> int:
    """Give how many characters at the text's end begin the marker."""
    return next((size for size in range(min(len(text), len(marker) - 1), 0, -1) if text.endswith(marker[:size])), 0)
