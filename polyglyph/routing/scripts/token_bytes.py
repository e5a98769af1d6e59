"""Which bytes each id of a tokenizer stands for, whatever its class: read from the vocabulary it is built on."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from polyglyph.routing.scripts.token_strings import plain_bytes, reader_by_convention, reader_of

TokenBytes = dict[int, bytes]

WRAPPED = ("backend_tokenizer", "tokenizer", "instruct_tokenizer", "_tokenizer", "model", "_model", "sp_model")
"""Attributes under which tokenizers keep the one that does their work."""
MAX_DEPTH = 4

_MARKUP = re.compile(r"<.+>|\[.+\]", re.DOTALL)


class Kind(NamedTuple):
    """How one sort of tokenizer is recognised and read."""

    methods: tuple[str, ...]
    read: Callable[[Any], TokenBytes]


def read_token_bytes(tokenizer: Any) -> TokenBytes:
    """Give the bytes of every token that is text.

    Template tokens are left out: those called special, and added ones that look like markup (`<think>`, `[TOOL]`).

    Args:
        tokenizer: A Hugging Face tokenizer, fast or slow, one of vLLM's, of mistral_common, tiktoken or SentencePiece.

    Raises:
        TypeError: It is none of these and has no `get_vocab()`.
    """
    token_bytes = _read_model(tokenizer)
    added_tokens = getattr(tokenizer, "added_tokens_decoder", None)
    # mistral_common's tokenizer in transformers has a method of this name that always fails.
    token_bytes |= _read_added(added_tokens) if isinstance(added_tokens, Mapping) else {}
    token_bytes |= dict.fromkeys(getattr(tokenizer, "all_special_ids", ()), b"")
    return {token: text for token, text in token_bytes.items() if text and token >= 0}


def _read_model(tokenizer: Any) -> TokenBytes:
    for candidate in _layers(tokenizer):
        for kind in _KINDS:
            if all(callable(getattr(candidate, method, None)) for method in kind.methods):
                return kind.read(candidate)
    if not callable(getattr(tokenizer, "get_vocab", None)):
        raise TypeError(f"expected a tokenizer with get_vocab(), got {type(tokenizer).__qualname__}")
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    read = reader_by_convention(vocabulary.keys())
    return {token: read(spelled) for spelled, token in vocabulary.items()}


def _layers(tokenizer: Any, depth: int = 0) -> Iterator[Any]:
    """Give the tokenizer, then what it wraps, the outer ones first."""
    yield tokenizer
    if depth < MAX_DEPTH:
        for name in WRAPPED:
            inner = getattr(tokenizer, name, None)
            if inner is not None and not isinstance(inner, str | bytes | int):
                yield from _layers(inner, depth + 1)


def _read_fast(backend: Any) -> TokenBytes:
    """Read a `tokenizers.Tokenizer`: its decoder says how tokens are spelled."""
    read = reader_of(json.loads(backend.to_str())["decoder"])
    vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=False)
    token_bytes = {token: read(spelled) for spelled, token in vocabulary.items()}
    return token_bytes | _read_added(backend.get_added_tokens_decoder())


def _read_added(added_tokens: Mapping[int, Any]) -> TokenBytes:
    """Read added tokens: their contents are text as it is, or of the template and none."""
    is_template = {token: added.special or _MARKUP.fullmatch(added.content) for token, added in added_tokens.items()}
    return {token: b"" if is_template[token] else plain_bytes(added_tokens[token].content) for token in added_tokens}


def _read_tekken(tekken: Any) -> TokenBytes:
    """Read mistral_common's Tekkenizer, whose first ids are special."""
    return {token: tekken.id_to_byte_piece(token) for token in range(tekken.num_special_tokens, tekken.n_words)}


def _read_tiktoken(encoding: Any) -> TokenBytes:
    """Read a `tiktoken.Encoding`, which may have holes."""
    special = {encoding.encode_single_token(text) for text in encoding.special_tokens_set}
    ranks = {encoding.encode_single_token(piece): piece for piece in encoding.token_byte_values()}
    return {token: piece for token, piece in ranks.items() if token not in special}


def _read_sentencepiece(processor: Any) -> TokenBytes:
    """Read a `SentencePieceProcessor`."""
    read = reader_by_convention({"<0x00>", "<0xFF>"})
    ids = range(processor.get_piece_size())
    return {
        token: read(processor.id_to_piece(token))
        for token in ids
        if not (processor.is_control(token) or processor.is_unknown(token))
    }


_KINDS = (
    Kind(("to_str", "get_added_tokens_decoder"), _read_fast),
    Kind(("id_to_byte_piece",), _read_tekken),
    Kind(("decode_single_token_bytes", "token_byte_values"), _read_tiktoken),
    Kind(("id_to_piece", "is_control", "is_byte"), _read_sentencepiece),
)
