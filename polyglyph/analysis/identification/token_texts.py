"""Token texts: which characters of a sequence's text each of its tokens takes part in, template tokens included.

Letters: T tokens, C characters.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.contract.errors import RequestError
from polyglyph.routing.scripts.token_bytes import read_token_bytes

Span = tuple[int, int]
"""First character, and the one after the last."""


@dataclass(frozen=True, eq=False)
class SequenceText:
    """A sequence's tokens, decoded together.

    Attributes:
        text: All characters; a byte that is part of none is a lone surrogate (Python's `surrogateescape`).
        begin_T: int64, the first character that a token's bytes take part in.
        end_T: int64, the character after the last; of a token without bytes the same as `begin_T`.
        is_template_T: Whether a token is the template's and no text: `<think>`, `<|user|>`.
    """

    text: str
    begin_T: NDArray[np.int64]
    end_T: NDArray[np.int64]
    is_template_T: NDArray[np.bool_]

    def tokens_of(self, spans: Iterable[Span]) -> NDArray[np.bool_]:
        """Give the tokens that take part in a character of one of the spans, bool [T]."""
        covered_C = np.zeros(len(self.text) + 1, dtype=np.int64)
        for begin, end in spans:
            covered_C[begin + 1 : end + 1] = 1
        before_C = np.cumsum(covered_C)
        tokens_T: NDArray[np.bool_] = before_C[self.end_T] > before_C[self.begin_T]
        return tokens_T

    def spans_of(self, pattern: "re.Pattern[str]") -> list[Span]:
        """Give the spans that a pattern matches, empty matches left out."""
        return [match.span() for match in pattern.finditer(self.text) if match.end() > match.start()]


@dataclass(frozen=True)
class TokenTexts:
    """The bytes of every token of a vocabulary.

    Attributes:
        bytes_of: By token id; ids that are missing have none.
        template: Ids of template tokens.
    """

    bytes_of: Mapping[int, bytes]
    template: frozenset[int]

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "TokenTexts":
        """Read a tokenizer, of any class that `read_token_bytes` takes.

        Raises:
            TypeError: It is no tokenizer.
        """
        plain = read_token_bytes(tokenizer)
        template = {token: text for token, text in _added(tokenizer).items() if token not in plain}
        return cls({**plain, **{token: text.encode() for token, text in template.items()}}, frozenset(template))

    def read(self, token_ids: Iterable[int]) -> SequenceText:
        """Decode the tokens of one sequence together, so that characters spread over several tokens are whole.

        Args:
            token_ids: Any integers; those outside the vocabulary (-1 for embeddings) have no text.
        """
        ids = [int(token) for token in token_ids]
        pieces = [self.bytes_of.get(token, b"") for token in ids]
        text = b"".join(pieces).decode("utf-8", errors="surrogateescape")
        # of_byte[b]: how many characters begin before byte b; the one that byte b is part of is of_byte[b + 1] - 1.
        of_byte = np.concatenate([[0], np.cumsum(_begins(text))])
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        begins = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]]) if ids else ends
        end_T = of_byte[ends]
        has_bytes_T = ends > begins
        begin_T = np.where(has_bytes_T, of_byte[np.minimum(begins + 1, len(of_byte) - 1)] - 1, end_T)
        return SequenceText(text, begin_T, end_T, np.array([token in self.template for token in ids], dtype=np.bool_))


def read_tokenizer(folder: Path) -> TokenTexts:
    """Read the tokenizer of a model's folder, from `tokenizer.json` where there is one.

    Raises:
        RequestError: There is none that could be read; the text names the folder.
    """
    try:
        if (folder / "tokenizer.json").exists():
            from tokenizers import Tokenizer

            return TokenTexts.from_tokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
        from transformers import AutoTokenizer

        return TokenTexts.from_tokenizer(AutoTokenizer.from_pretrained(str(folder), local_files_only=True))
    # tokenizers raises bare Exception for a file it cannot read.
    except Exception as error:
        raise RequestError(
            f"{folder}: expected a folder with a model's tokenizer (tokenizer.json), and it could not be read: {error}"
        ) from error


def _added(tokenizer: Any) -> dict[int, str]:
    """Give the contents of added tokens, which a vocabulary's bytes leave out where they are the template's."""
    read = getattr(tokenizer, "get_added_tokens_decoder", None)
    found = read() if callable(read) else getattr(tokenizer, "added_tokens_decoder", {})
    return {token: added.content for token, added in found.items()} if isinstance(found, Mapping) else {}


def _begins(text: str) -> NDArray[np.int64]:
    """Give of each byte of a text 1 where a character begins, else 0."""
    code_C = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    is_raw_C = (code_C >= 0xDC80) & (code_C <= 0xDCFF)
    length_C = 1 + (code_C >= 0x80) + (code_C >= 0x800).astype(np.int64) + (code_C >= 0x10000)
    length_C = np.where(is_raw_C, 1, length_C).astype(np.int64)
    begins = np.zeros(int(length_C.sum()), dtype=np.int64)
    begins[np.cumsum(length_C) - length_C] = 1
    return begins
