"""Which tokens open and close the reasoning block, read from the model's tokenizer.

Written for vLLM 0.32 and 0.33; leans on `vllm.tokenizers.cached_tokenizer_from_config`.
"""

from collections.abc import Sequence
from typing import Any

THINK_BLOCKS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"))
HARMONY_OPEN = "<|channel|>analysis<|message|>"
HARMONY_CLOSE = ("<|end|>", "<|channel|>final<|message|>")

Markers = tuple[list[list[int]], list[list[int]]]


def find_markers(model_config: Any) -> Markers:
    """Give the token sequences that open and that close the reasoning block; none when the model has no such block.

    Args:
        model_config: vLLM's model configuration.
    """
    if model_config.skip_tokenizer_init:
        return [], []
    from vllm.tokenizers import cached_tokenizer_from_config

    return markers_of(cached_tokenizer_from_config(model_config))


def markers_of(tokenizer: Any) -> Markers:
    """Look the known markers up in a tokenizer's vocabulary.

    A think block counts when both its markers are single tokens; harmony channels are sequences.
    """
    vocabulary = tokenizer.get_vocab()
    for opening, closing in THINK_BLOCKS:
        if opening in vocabulary and closing in vocabulary:
            return [[vocabulary[opening]]], [[vocabulary[closing]]]
    if "<|channel|>" in vocabulary and "<|message|>" in vocabulary:
        return [_encode(tokenizer, HARMONY_OPEN)], [_encode(tokenizer, text) for text in HARMONY_CLOSE]
    return [], []


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: Sequence[int] = tokenizer.encode(text, add_special_tokens=False)
    return list(ids)
