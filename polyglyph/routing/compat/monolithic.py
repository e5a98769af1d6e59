"""Keeps vLLM from choosing experts' kernels that route inside themselves; a modular one is taken instead.

Written for vLLM 0.32 and 0.33; leans on `modular_kernel.FusedMoEExperts.is_supported_config`, which every kernel class
asks. A layer that ends up monolithic all the same is refused when the model is hooked.
"""

from collections.abc import Callable
from typing import Any

from polyglyph.routing.compat.patching import wrap


def patch_kernel_choice() -> None:
    """Wrap the question whether a kernel suits a layer."""
    from vllm.model_executor.layers.fused_moe.modular_kernel import FusedMoEExperts

    wrap(FusedMoEExperts, "is_supported_config", _refuse_monolithic)


def _refuse_monolithic(original: Callable[..., Any]) -> Callable[..., Any]:
    def is_supported_config(cls: Any, *args: Any, **kwargs: Any) -> tuple[bool, str | None]:
        if cls.is_monolithic():
            return False, "kernel routes inside itself, where Polyglyph cannot steer"
        result: tuple[bool, str | None] = original(cls, *args, **kwargs)
        return result

    return is_supported_config
