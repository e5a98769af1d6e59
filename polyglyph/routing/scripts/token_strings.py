"""Tokens as a vocabulary spells them, turned into the bytes they stand for."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Step = Mapping[str, Any]
"""One decoder of a `tokenizer.json`: its type and settings."""
ToBytes = Callable[[str], bytes]

SPACE_MARK = "\u2581"
"""SentencePiece's space."""

_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")


def byte_characters() -> list[str]:
    """Give GPT-2's reversible map of bytes to printable characters, which byte-level vocabularies are written in."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte if byte in shown else 256 + hidden.index(byte)) for byte in range(256)]


_BYTE_OF_CHARACTER = {character: byte for byte, character in enumerate(byte_characters())}


def reader_of(decoder: Step | None) -> ToBytes:
    """Give what turns a token into bytes, as the `decoder` of a `tokenizer.json` does for a sequence of them.

    Without a decoder a token's string is its text. What a decoder does to a whole sequence (stripping its first
    space, cleaning up before punctuation) touches no character with a script and is left out.
    """
    steps = [_STEPS[step["type"]](step) for step in _flat(decoder) if step["type"] in _STEPS]

    def read(token: str) -> bytes:
        for step in steps:
            value = step(token)
            if isinstance(value, bytes):
                return value
            token = value
        return plain_bytes(token)

    return read


def reader_by_convention(tokens: Collection[str]) -> ToBytes:
    """Give what turns a token into bytes where no decoder says it: by the marks that the vocabulary uses."""
    if "<0x00>" in tokens and "<0xFF>" in tokens:
        return reader_of({"type": "Sequence", "decoders": [_SPACES, {"type": "ByteFallback"}]})
    if all(character in tokens for character in byte_characters()):
        return reader_of({"type": "ByteLevel"})
    if any(token.startswith("##") and len(token) > 2 for token in tokens):
        return reader_of({"type": "WordPiece", "prefix": "##"})
    return reader_of(_SPACES if any(SPACE_MARK in token for token in tokens) else None)


def plain_bytes(text: str) -> bytes:
    """Give UTF-8; a lone surrogate becomes the bytes that UTF-8 forbids, which are no character."""
    return text.encode("utf-8", errors="surrogatepass")


_SPACES: Step = {"type": "Metaspace", "replacement": SPACE_MARK}


def _flat(decoder: Step | None) -> Iterator[Step]:
    if decoder is None:
        return
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _flat(step)
    else:
        yield decoder


def _replace(step: Step) -> Callable[[str], str]:
    pattern, content = step["pattern"], step["content"]
    if "String" in pattern:
        return lambda token: token.replace(pattern["String"], content)
    return lambda token: token


def _metaspace(step: Step) -> Callable[[str], str]:
    return lambda token: token.replace(step.get("replacement", SPACE_MARK), " ")


def _word_piece(step: Step) -> Callable[[str], str]:
    prefix = step.get("prefix", "##")
    return lambda token: token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"


def _word_end(step: Step) -> Callable[[str], str]:
    suffix = step.get("suffix", "</w>")
    return lambda token: f"{token.removesuffix(suffix)} " if token.endswith(suffix) else token


def _byte_fallback(_: Step) -> Callable[[str], str | bytes]:
    def read(token: str) -> str | bytes:
        found = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(found[1], 16)]) if found else token

    return read


def _byte_level(_: Step) -> Callable[[str], bytes]:
    def read(token: str) -> bytes:
        try:
            return bytes([_BYTE_OF_CHARACTER[character] for character in token])
        except KeyError:
            return plain_bytes(token)

    return read


_STEPS: Mapping[str, Callable[[Step], Callable[[Any], str | bytes]]] = {
    "Replace": _replace,
    "Metaspace": _metaspace,
    "WordPiece": _word_piece,
    "BPEDecoder": _word_end,
    "ByteFallback": _byte_fallback,
    "ByteLevel": _byte_level,
}
"""Decoders that change what a token's characters are; the others (Fuse, Strip, CTC) only join or trim."""
