"""The bytes of every token of a vocabulary, whichever tokenizer it is of.

Letters: V tokens of the vocabulary, B bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.routing.scripts.token_bytes import read_token_bytes


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Tokens as bytes; template tokens, holes and tokens without bytes are no text.

    Attributes:
        data_B: uint8, all bytes, token by token.
        offset_V1: int64; token v has the bytes from offset_V1[v] to before offset_V1[v + 1].
        is_text_V: bool.
    """

    data_B: NDArray[np.uint8]
    offset_V1: NDArray[np.int64]
    is_text_V: NDArray[np.bool_]

    @classmethod
    def of(cls, token_bytes: Mapping[int, bytes], *, num_tokens: int | None = None) -> "Vocabulary":
        """Make a vocabulary of the tokens that are text.

        Args:
            token_bytes: Bytes by token id, 0 or more; ids that are missing are no text.
            num_tokens: V, by default just enough for all ids.
        """
        num_tokens = max(token_bytes, default=-1) + 1 if num_tokens is None else num_tokens
        pieces = [token_bytes.get(token, b"") for token in range(num_tokens)]
        lengths_V = np.fromiter(map(len, pieces), dtype=np.int64, count=num_tokens)
        return cls(
            data_B=np.frombuffer(bytearray().join(pieces), dtype=np.uint8),
            offset_V1=np.concatenate(([0], np.cumsum(lengths_V))).astype(np.int64),
            is_text_V=lengths_V > 0,
        )

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "Vocabulary":
        """Read a tokenizer's vocabulary, as long as the tokenizer says or the highest id needs.

        Raises:
            TypeError: It is no tokenizer.
        """
        token_bytes = read_token_bytes(tokenizer)
        stated = len(tokenizer) if hasattr(tokenizer, "__len__") else 0
        return cls.of(token_bytes, num_tokens=max(stated, max(token_bytes, default=-1) + 1))

    @property
    def num_tokens(self) -> int:
        """Ids the vocabulary covers, holes included, V."""
        return len(self.is_text_V)

    def bytes_of(self, token: int) -> bytes | None:
        """Give a token's bytes; None for one that is no text."""
        if not (0 <= token < self.num_tokens and self.is_text_V[token]):
            return None
        return self.data_B[self.offset_V1[token] : self.offset_V1[token + 1]].tobytes()
