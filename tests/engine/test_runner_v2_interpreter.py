"""Model Runner V2 steers and counts exactly as a forward pass of Hugging Face's with the same edits.

A real engine, its Triton kernels interpreted on the CPU, float32, in this process: run this file in a process of its own.
"""

from tests.support import v2_interpreter

v2_interpreter.install(plugins="polyglyph")

import time
import pytest
import torch

from polyglyph.contract.plan import Edit
from tests.support.tiny_moe import END_THINK, LAYERS, THINK, TOP_K, Steering, SteeredModel, save_tiny_moe

NUM_TOKENS = 20
BAN = (Edit(layer=0, experts=(1, 2), op="ban"), Edit(layer=3, experts=(0, 5, 6), op="ban"))
FORCE = (Edit(layer=1, experts=(4,), op="force"),)
PUSH = tuple(Edit(layer=layer, experts=(layer, 7), op="add", value=1.5) for layer in range(LAYERS))
SPREAD = (Edit(layer=2, experts=(3,), op="add_std", value=2.0), Edit(layer=2, experts=(6,), op="scale", value=3.0))
STEERINGS = [
    Steering(),
    Steering(BAN),
    Steering(FORCE, ("reasoning",)),
    Steering(),
    Steering(PUSH, ("answer",)),
    Steering(SPREAD, ("prompt", "answer"), strength=0.5),
    Steering(PUSH, ("prompt",), strength=-1.0),
    Steering((*BAN, *FORCE), ("reasoning", "answer")),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, save_tiny_moe(folder)


@pytest.fixture(scope="module")
def truths(checkpoint):
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(1, 510, (n,), generator=generator).tolist() for n in (3, 12, 9, 40, 17, 33, 70, 5)]
    prompts[2] += [THINK]
    prompts[5][10:12] = [THINK, END_THINK]
    model = SteeredModel(checkpoint[1])
    t0=time.time()
    return [
        model.generate(prompt, steering, num_tokens=NUM_TOKENS)
        for prompt, steering in zip(prompts, STEERINGS, strict=True)
    ]


def test_x(checkpoint, truths):
    print("phases", [t.num_tokens() for t in truths])
    from vllm import LLM, SamplingParams

    from polyglyph.routing.offline import OfflineSteering

    llm = LLM(
        str(checkpoint[0]),
        dtype="float32",
        enforce_eager=True,
        max_model_len=256,
        max_num_seqs=8,
        max_num_batched_tokens=32,
        block_size=32,
    )
    offline = OfflineSteering(llm)
    print(offline.report)
    params = []
    for i, s in enumerate(STEERINGS):
        params.append(
            SamplingParams(
                temperature=0,
                max_tokens=NUM_TOKENS,
                ignore_eos=True,
                detokenize=False,
                extra_args=offline.extra_args(
                    s.edits, strength=s.strength, phases=s.phases, wants_summary=True, key=f"{i:032x}"
                ),
            )
        )
    prompts = [{"prompt_token_ids": t.tokens[:-NUM_TOKENS]} for t in truths]
    outs = llm.generate(prompts, params)
    for i, (o, t) in enumerate(zip(outs, truths)):
        r = offline.take_receipt(f"{i:032x}")
        print(
            i,
            list(o.outputs[0].token_ids) == t.tokens[-NUM_TOKENS:],
            r.num_tokens.tolist(),
            t.num_tokens(),
            (r.selected == t.selected().numpy()).all(),
            r.tokens_steered,
            int(t.steered_T.sum()),
            r.selections_changed,
            int(t.changed_TL[t.steered_T].sum()),
        )
    print(offline.read_selected().sum(), sum(len(t.phases) for t in truths) * LAYERS * TOP_K)
