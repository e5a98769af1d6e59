"""Keeps compiled graphs with our operator apart from plain vLLM's in the compile cache.

Written for vLLM 0.32 and 0.33; leans on `VllmConfig.compute_hash`.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from polyglyph import __version__
from polyglyph.routing.compat.patching import wrap

GRAPH_VERSION = 1
"""Raised whenever the operator's signature or place in the graph changes."""


def patch_compile_cache() -> None:
    """Wrap the hash that names a compiled model."""
    from vllm.config import VllmConfig

    wrap(VllmConfig, "compute_hash", _salt)


def _salt(original: Callable[..., str]) -> Callable[..., str]:
    def compute_hash(self: Any, *args: Any, **kwargs: Any) -> str:
        plain = original(self, *args, **kwargs)
        salted = hashlib.sha256(f"{plain} polyglyph {__version__} {GRAPH_VERSION}".encode()).hexdigest()
        return salted[: len(plain)]

    return compute_hash
