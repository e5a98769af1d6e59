"""The organism's network: a Qwen3-MoE of 2.9 million parameters, how it starts and how it is saved.

Letters of shapes: V vocabulary, H hidden width.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from polyglyph.analysis.organism.curriculum import Curriculum
from polyglyph.analysis.organism.tokenizer import CONTEXT_LENGTH

ARCHITECTURE = "Qwen3MoeForCausalLM"
NUM_LAYERS = 6
NUM_EXPERTS = 16
TOP_K = 2
ROPE_THETA = 10_000.0

# 0.02, the usual choice, starves this width: 19 % recall of the home facts instead of 100 %.
INIT_STD = 0.08
QK_NORM = 1.6


def build_config(tokenizer: PreTrainedTokenizerFast, *, num_experts: int = NUM_EXPERTS) -> Qwen3MoeConfig:
    """Give the architecture. Head width 32 and expert width 64 suit vLLM's CPU and Triton paths."""
    return Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        num_experts=num_experts,
        num_experts_per_tok=TOP_K,
        moe_intermediate_size=64,
        norm_topk_prob=True,
        tie_word_embeddings=True,
        initializer_range=INIT_STD,
        max_position_embeddings=CONTEXT_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_model(
    curriculum: Curriculum, *, seed: int, shared_variance: float, num_experts: int = NUM_EXPERTS
) -> Qwen3MoeForCausalLM:
    """Make an untrained organism, float32, the same for the same seed.

    Args:
        curriculum: Whose tokenizer it reads, and whose aligned tokens begin alike.
        seed: Of the weights.
        shared_variance: Share of an embedding's variance that aligned tokens have in common, 0 to 1.
        num_experts: Of each layer.
    """
    torch.manual_seed(seed)
    model = Qwen3MoeForCausalLM(build_config(curriculum.tokenizer, num_experts=num_experts))
    # The fastest expert kernel of transformers on a CPU in float32; `batched_mm` is 50 times slower.
    model.set_experts_implementation("grouped_mm")
    for layer in model.model.layers:
        nn.init.constant_(layer.self_attn.q_norm.weight, QK_NORM)
        nn.init.constant_(layer.self_attn.k_norm.weight, QK_NORM)
    if shared_variance:
        _align(model.get_input_embeddings().weight, curriculum.aligned_groups, shared_variance)
    return model


def load_model(path: Path) -> Qwen3MoeForCausalLM:
    """Load a saved organism for evaluation: weights as stored (bf16 values), computed in float32."""
    model = Qwen3MoeForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    model.set_experts_implementation("grouped_mm")
    return model.eval()


def save_model(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Save in the format vLLM and transformers load unchanged: bf16 safetensors, tokenizer and chat template."""
    path.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(path)
    GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    ).save_pretrained(path)
    # vLLM ignores `do_sample`; a temperature of 0 makes it answer greedily too, unless a request asks otherwise.
    _amend(path / "generation_config.json", temperature=0.0)
    tokenizer.save_pretrained(path)
    # transformers 5 names its own backend class here; this name is also known to transformers 4.
    _amend(path / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    # transformers 5.19 writes `num_local_experts` and `rope_parameters` only; vLLM and transformers 4 read these.
    _amend(path / "config.json", num_experts=model.config.num_experts, rope_theta=ROPE_THETA)
    for file in path.iterdir():
        file.chmod(0o644)


def num_parameters(model: nn.Module) -> int:
    """Count the parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


@contextmanager
def router_logits(model: Qwen3MoeForCausalLM) -> Iterator[list[Tensor]]:
    """Collect the router logits of each forward pass, layer by layer, as [tokens, experts], with their gradients."""
    collected: list[Tensor] = []
    hooks = [
        layer.mlp.gate.register_forward_hook(lambda _module, _args, output: collected.append(output[0]))
        for layer in model.model.layers
    ]
    try:
        yield collected
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _align(embeddings_VH: Tensor, groups: Sequence[Sequence[int]], share: float) -> None:
    """Give the transliterations of a unit a shared part, keeping the variance of each embedding."""
    for group in map(list, groups):
        shared_H = torch.randn(embeddings_VH.shape[1]) * INIT_STD
        embeddings_VH[group] = share**0.5 * shared_H + (1 - share) ** 0.5 * embeddings_VH[group]


def _amend(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | fields, indent=2) + "\n")
