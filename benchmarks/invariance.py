"""How far plain vLLM's own answers depend on who else is in the batch: the baseline of promise 2.

A request is asked alone and in a batch of 16; nothing of Polyglyph is loaded. Where these differ, an unsteered request
beside steered ones can only be compared with the same batch unsteered.
"""

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.environment import environment_record
from polyglyph import bundled_organism

NUM_REQUESTS = 16
NUM_TOKENS = 24


def run() -> dict[str, Any]:
    """Measure in a process of its own, in bfloat16 and float32.

    Returns:
        By dtype: requests whose tokens, and whose log-probabilities, were equal bit for bit, and the largest
        difference of a log-probability; the same for a batch sent twice.
    """
    environment = {**os.environ, "POLYGLYPH_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    found = {}
    for dtype in ("bfloat16", "float32"):
        command = [sys.executable, "-m", "benchmarks.invariance", dtype]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[dtype] = json.loads(next(line[1:] for line in done.stdout.splitlines() if line.startswith("@")))
    return {"benchmark": "invariance", "mode": "eager", "found": found, **environment_record()}


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    lines = [
        "## Plain vLLM, one request in another batch",
        "",
        f"{NUM_REQUESTS} requests x {NUM_TOKENS} tokens, greedy, {record['mode']}; {record['hardware']['processor']}; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        + f"; {record['when']}.",
        "",
        "| dtype | compared with the batch of 16 | equal tokens | equal log-probabilities | largest difference |",
        "|---|---|---|---|---|",
    ]
    for dtype, comparisons in record["found"].items():
        for name, found in comparisons.items():
            lines.append(
                f"| {dtype} | {name} | {found['equal_tokens']} of {NUM_REQUESTS} "
                f"| {found['equal_logprobs']} of {NUM_REQUESTS} | {found['largest_difference']:.2g} |"
            )
    return "\n".join([*lines, ""])


def _measure(dtype: str) -> None:
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(bundled_organism()),
        dtype=dtype,
        enforce_eager=True,
        max_model_len=256,
        max_num_seqs=NUM_REQUESTS,
        enable_prefix_caching=False,
        seed=0,
    )
    params = SamplingParams(temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True, logprobs=5)
    prompts = [{"prompt_token_ids": [10 + (7 * i + j) % 800 for j in range(4 + i)]} for i in range(NUM_REQUESTS)]

    def ask(some: list[Any]) -> list[Any]:
        return [output.outputs[0] for output in llm.generate(some, params, use_tqdm=False)]

    together = ask(prompts)
    alone = [ask([prompt])[0] for prompt in prompts]
    print(
        "@" + json.dumps({"each alone": _compare(together, alone), "the same again": _compare(together, ask(prompts))})
    )


def _compare(mine: list[Any], theirs: list[Any]) -> dict[str, float]:
    pairs = list(zip(mine, theirs, strict=True))
    differences = [abs(a - b) for one, other in pairs for a, b in _shared_logprobs(one, other)]
    return {
        "equal_tokens": sum(one.token_ids == other.token_ids for one, other in pairs),
        "equal_logprobs": sum(all(a == b for a, b in _shared_logprobs(one, other)) for one, other in pairs),
        "largest_difference": max(differences, default=0.0),
    }


def _shared_logprobs(one: Any, other: Any) -> list[tuple[float, float]]:
    """Pair the log-probabilities of the steps before the first differing token."""
    pairs = []
    for step, (mine, theirs) in enumerate(zip(one.logprobs, other.logprobs, strict=True)):
        if one.token_ids[:step] != other.token_ids[:step]:
            break
        pairs += [(mine[token].logprob, theirs[token].logprob) for token in mine.keys() & theirs.keys()]
    return pairs


if __name__ == "__main__":
    _measure(sys.argv[1])
