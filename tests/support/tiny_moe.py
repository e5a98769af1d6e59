"""A random Qwen3-MoE small enough for the interpreter."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

VOCAB, LAYERS, EXPERTS, TOP_K = 512, 4, 8, 2
THINK, END_THINK = 510, 511


def save_tiny_moe(folder: Path) -> Qwen3MoeForCausalLM:
    """Write a model with a tokenizer of 512 words, and give it; it is fond of opening and closing reasoning blocks."""
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=128,
        moe_intermediate_size=64,
        num_experts=EXPERTS,
        num_experts_per_tok=TOP_K,
        norm_topk_prob=True,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        initializer_range=0.2,
        eos_token_id=0,
        bos_token_id=0,
    )
    model = Qwen3MoeForCausalLM(config).float().eval()
    with torch.no_grad():
        model.lm_head.weight[[THINK, END_THINK]] *= 1.7
    model.save_pretrained(folder)
    words = [f"w{index}" for index in range(VOCAB - 2)] + ["<think>", "</think>"]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="w0"))  # noqa: S106
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0").save_pretrained(folder)  # noqa: S106
    return model
