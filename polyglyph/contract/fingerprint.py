"""How a checkpoint is identified, so that a plan for another one is refused."""

from collections.abc import Iterable
from hashlib import sha256

from polyglyph.contract.base import digest


def model_fingerprint(
    architecture: str, num_layers: int, num_experts: int, top_k: int, router_weights: Iterable[bytes]
) -> str:
    """Identify a checkpoint by what decides its routing.

    Args:
        architecture: Name in the checkpoint's configuration, `Qwen3MoeForCausalLM`.
        num_layers: Number of MoE layers.
        num_experts: Experts per layer.
        top_k: Experts per token.
        router_weights: For each MoE layer in order, the raw little-endian bytes of the router's weight.

    Returns:
        `sha256:<hex>`.
    """
    hashes = [sha256(weight).hexdigest() for weight in router_weights]
    return digest(
        {"architecture": architecture, "layers": num_layers, "experts": num_experts, "top_k": top_k, "routers": hashes}
    )
