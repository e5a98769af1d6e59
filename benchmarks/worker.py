"""One engine in a process of its own, which measures a batch whenever its driver says so.

Speaks lines of JSON: reads `{"arm": ...}` from standard input, answers `{"seconds": ..., "tokens": ...}`.
"""

import json
import sys
import time
from typing import Any

from polyglyph import bundled_organism
from polyglyph.contract.plan import Edit

NUM_REQUESTS = 64
NUM_TOKENS = 64
EDITS = (
    *(Edit(layer=layer, experts=(1, 5), op="add_std", value=1.0) for layer in (0, 1, 2, 3)),
    Edit(layer=4, experts=(0,), op="ban"),
    Edit(layer=5, experts=(2,), op="scale", value=2.0, renormalize=True),
)


def main(*, enforce_eager: bool) -> None:
    """Start the engine, warm it up, then measure on demand until standard input ends."""
    started = time.perf_counter()
    from vllm import LLM

    llm = LLM(
        str(bundled_organism()),
        enforce_eager=enforce_eager,
        max_model_len=256,
        max_num_seqs=NUM_REQUESTS,
        block_size=32,
        seed=0,
        enable_prefix_caching=False,
    )
    startup_s = time.perf_counter() - started
    measure(llm, "plain")
    _say({"startup_s": startup_s})
    for line in sys.stdin:
        _say(measure(llm, json.loads(line)["arm"]))


def measure(llm: Any, arm: str) -> dict[str, float]:
    """Generate one batch: 64 requests of 64 tokens each; a steered arm steers every other one."""
    from vllm import SamplingParams

    extra_args = None
    if arm.startswith("steered"):
        from polyglyph.routing.offline import OfflineSteering

        extra_args = OfflineSteering(llm).extra_args(EDITS)
    prompts = [{"prompt_token_ids": [10 + (7 * i + j) % 800 for j in range(12)]} for i in range(NUM_REQUESTS)]
    params = [
        SamplingParams(
            temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True, extra_args=extra_args if i % 2 == 0 else None
        )
        for i in range(NUM_REQUESTS)
    ]
    started = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "tokens": sum(len(output.outputs[0].token_ids) for output in outputs)}


def _say(document: dict[str, float]) -> None:
    # vLLM prints on standard output too: the driver looks for this mark.
    print("@" + json.dumps(document), flush=True)


if __name__ == "__main__":
    main(enforce_eager=sys.argv[1] == "eager")
