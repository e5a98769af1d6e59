"""The routers' weights as loaded, read before vLLM packs them: a plan is bound to them.

On CPUs vLLM packs every linear weight for its matrix kernels after loading and leaves an empty tensor behind.

Written for vLLM 0.32 and 0.33; leans on `model_loader.base_loader.process_weights_after_loading`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyglyph.contract.errors import UnsupportedModelError
from polyglyph.routing.compat.patching import wrap

_KEPT = "_polyglyph_router_bytes"


def patch_model_loader() -> None:
    """Wrap what runs between loading the weights and packing them."""
    from vllm.model_executor.model_loader import base_loader

    wrap(base_loader, "process_weights_after_loading", _keep_first)


def _keep_first(original: Callable[..., Any]) -> Callable[..., Any]:
    def process_weights_after_loading(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

        for name, module in model.named_modules():
            if isinstance(module, MoERunner):
                weight = find_router_weight(model, name, module)
                setattr(module, _KEPT, None if weight is None else _canonical_bytes(weight))
        return original(model, *args, **kwargs)

    return process_weights_after_loading


def take_router_bytes(name: str, runner: Any) -> bytes:
    """Give a layer's router weight as little-endian bfloat16, and forget it.

    Raises:
        UnsupportedModelError: The weight was not found when the model was loaded.
    """
    kept: bytes | None = getattr(runner, _KEPT, None)
    if not kept:
        raise UnsupportedModelError(
            f"{name}: its router's weight was not seen while the model was loaded, so plans cannot be bound to it; "
            "load the model with vLLM's default loader (--load-format auto)"
        )
    delattr(runner, _KEPT)
    return kept


def find_router_weight(model: nn.Module, name: str, runner: Any) -> Tensor | None:
    """Find the router's weight [E, H]: the runner's own gate, or the one beside it in the block."""
    if runner.gate is not None:
        weight: Tensor = runner.gate.weight
        return weight
    num_experts = runner.router.global_num_experts
    for child_name, child in model.get_submodule(name.rpartition(".")[0]).named_modules():
        candidate = getattr(child, "weight", None)
        if "expert" in child_name or not isinstance(candidate, Tensor):
            continue
        if candidate.ndim == 2 and candidate.shape[0] == num_experts:
            return candidate
    return None


def _canonical_bytes(weight: Tensor) -> bytes:
    # bfloat16 whatever the engine's dtype, so that one checkpoint has one fingerprint.
    rounded = weight.detach().to(device="cpu", dtype=torch.bfloat16).contiguous()
    canonical: np.ndarray = rounded.view(torch.int16).numpy()
    return canonical.tobytes()
