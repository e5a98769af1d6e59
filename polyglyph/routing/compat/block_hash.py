"""Prefix cache keys of steered requests: the position where generation began is part of a block's identity.

A block computed under the reasoning edits becomes prompt in the next turn, where other edits act; the salt is the same,
so the block must say which of its tokens were generated. Unsteered requests are left alone.

Written for vLLM 0.32 and 0.33; leans on `v1.core.kv_cache_utils.generate_block_hash_extra_keys`, and on any further
function of that kind (0.33 adds one) taking a request and a span of tokens first.
"""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

from polyglyph.contract.errors import UnsupportedVllmError
from polyglyph.routing.compat.patching import wrap
from polyglyph.routing.compat.payloads import payload_of

_FLAG = "_polyglyph_is_steered"
_NAME = re.compile(r"generate_\w*block_hash\w*_extra_keys")


def patch_block_hash() -> None:
    """Wrap every function that gives a block's extra keys.

    Raises:
        UnsupportedVllmError: One of them takes other arguments than a request and a span of tokens.
    """
    from vllm.v1.core import kv_cache_utils

    for name in [name for name in vars(kv_cache_utils) if _NAME.fullmatch(name)]:
        parameters = list(inspect.signature(getattr(kv_cache_utils, name)).parameters)
        if parameters[:3] != ["request", "start_token_idx", "end_token_idx"]:
            raise UnsupportedVllmError(
                f"vllm.v1.core.kv_cache_utils.{name}: expected (request, start_token_idx, end_token_idx, ...), found "
                f"({', '.join(parameters)}); prefix cache keys of steered requests cannot be told apart on this release"
            )
        original = getattr(kv_cache_utils, name)
        wrap(kv_cache_utils, name, _mark_generated)
        _replace_imported(name, original, getattr(kv_cache_utils, name))


def _replace_imported(name: str, original: Any, replacement: Any) -> None:
    """Other modules of vLLM hold the function by name when they were imported first."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("vllm.") and vars(module).get(name) is original:
            setattr(module, name, replacement)


def _mark_generated(original: Callable[..., Any]) -> Callable[..., Any]:
    def extra_keys(request: Any, start_token_idx: int, end_token_idx: int, *args: Any, **kwargs: Any) -> Any:
        keys, next_mm_idx = original(request, start_token_idx, end_token_idx, *args, **kwargs)
        if end_token_idx > request.num_prompt_tokens and _is_steered(request):
            began = max(request.num_prompt_tokens - start_token_idx, 0)
            keys = (*(keys or ()), ("polyglyph_generated_from", began))
        return keys, next_mm_idx

    return extra_keys


def _is_steered(request: Any) -> bool:
    known: bool | None = getattr(request, _FLAG, None)
    if known is None:
        payload = payload_of(request.sampling_params)
        known = payload is not None and payload.is_steered
        setattr(request, _FLAG, known)  # asked again for every block that generation fills
    return known
