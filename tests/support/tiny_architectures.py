"""Random models of several architectures, as transformers makes them, small enough for milliseconds."""

from typing import Any

import torch
import transformers
from torch import nn

VOCAB, EXPERTS, TOP_K = 64, 8, 2
_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": TOP_K,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LATENT = {
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "n_routed_experts": EXPERTS,
    "moe_intermediate_size": 16,
    "intermediate_size": 48,
}
_OWN: dict[str, dict[str, Any]] = {
    "Qwen3Moe": {"num_experts": EXPERTS, "moe_intermediate_size": 16, "head_dim": 8, "intermediate_size": 48},
    "Mixtral": {"num_local_experts": EXPERTS, "intermediate_size": 16},
    "Olmoe": {"num_experts": EXPERTS, "intermediate_size": 16},
    "DeepseekV2": {**_LATENT, "q_lora_rank": None, "topk_method": "group_limited_greedy"},
    "DeepseekV3": {**_LATENT, "q_lora_rank": 8},
    "GptOss": {"num_local_experts": EXPERTS, "intermediate_size": 16, "head_dim": 8},
    "GraniteMoe": {"num_local_experts": EXPERTS, "intermediate_size": 16},
    "Qwen3": {"head_dim": 8, "intermediate_size": 48},
    "Llama4Text": {"num_local_experts": EXPERTS, "intermediate_size": 16, "intermediate_size_mlp": 48, "head_dim": 8},
    "DeepseekV4": {"n_routed_experts": EXPERTS, "moe_intermediate_size": 16, "head_dim": 8},
}
MOE = ("Qwen3Moe", "Mixtral", "Olmoe", "DeepseekV2", "DeepseekV3", "GptOss", "GraniteMoe")
"""Architectures with routers that can be read; two of them have a dense layer first."""


def tiny(name: str, *, seed: int = 0) -> nn.Module:
    """Make a model of an architecture, named as its configuration's class is, float32, with weights that matter."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**(_COMMON | _OWN[name]))
    model = getattr(transformers, f"{name.removesuffix('Text')}ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, 0.2)
    return model
