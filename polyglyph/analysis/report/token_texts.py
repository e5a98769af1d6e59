"""Token texts: what a token id stands for, as text or, where it is a piece of a character, as bytes."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polyglyph.analysis.evidence.errors import EvidenceError


def read_token_texts(path: Path) -> Mapping[int, dict[str, str]]:
    """Read a tokenizer's texts by token id: `text`, or `bytes` (hex) where the token is no whole characters.

    Args:
        path: A model's folder, or a `tokenizer.json`. Nothing is fetched.

    Raises:
        EvidenceError: There is no tokenizer, or it cannot be read.
    """
    from polyglyph.routing.scripts.token_bytes import read_token_bytes

    tokenizer = _load(path)
    try:
        token_bytes = read_token_bytes(tokenizer)
    except TypeError as error:
        raise EvidenceError(f"{path}: expected a tokenizer with a vocabulary: {error}") from error
    markup = {token: {"text": text} for token, text in _special(tokenizer)}
    return markup | {token: _text_of(found) for token, found in token_bytes.items()}


def _load(path: Path) -> Any:
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            return Tokenizer.from_str(_checked(file.read_text(encoding="utf-8")))
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise EvidenceError(
            f"{path}: expected a model's folder with its tokenizer, or a tokenizer.json; it cannot be read: {error}"
        ) from error


def _checked(text: str) -> str:
    """Refuse what is no tokenizer.json; for that the tokenizers package raises what nothing else can be told from."""
    document = json.loads(text)
    has_model = isinstance(document, dict) and isinstance(document.get("model"), dict)
    if not has_model:
        raise ValueError("it is JSON without a tokenizer's 'model'")
    return text


def _special(tokenizer: Any) -> Iterable[tuple[int, str]]:
    added = getattr(tokenizer, "get_added_tokens_decoder", None)
    found: Mapping[int, Any] = added() if callable(added) else getattr(tokenizer, "added_tokens_decoder", {})
    return [(token, content.content) for token, content in found.items()]


def _text_of(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"bytes": content.hex(" ").upper()}
