"""A real vLLM engine on the organism, and the requests that the tests send it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyglyph import bundled_organism

MODEL = Path(os.environ.get("POLYGLYPH_TEST_MODEL", bundled_organism()))
ENVIRONMENT = {"VLLM_PLUGINS": "polyglyph", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
BLOCK_SIZE = 32
NUM_GENERATED = 24


@dataclass(frozen=True)
class EngineSettings:
    """How an engine under test is started; the same for plain vLLM beside it."""

    enforce_eager: bool
    dtype: str = "bfloat16"
    max_num_batched_tokens: int = 2048
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a request came back with: tokens, every log-probability by token id, and how much came from the cache."""

    token_ids: tuple[int, ...]
    logprobs: tuple[tuple[tuple[int, float], ...], ...]
    num_cached: int

    @classmethod
    def of(cls, output: Any) -> "Reply":
        """Read vLLM's output."""
        completion = output.outputs[0]
        logprobs = tuple(
            tuple(sorted((token, entry.logprob) for token, entry in step.items())) for step in completion.logprobs
        )
        return cls(tuple(completion.token_ids), logprobs, output.num_cached_tokens or 0)

    @property
    def content(self) -> tuple[Any, Any]:
        """What must be equal bit for bit, wherever it was computed."""
        return self.token_ids, self.logprobs


def start(settings: EngineSettings) -> Any:
    """Start vLLM's offline engine; the plugin loads unless `POLYGLYPH_DISABLE=1` is set."""
    os.environ.update(ENVIRONMENT)
    from vllm import LLM

    return LLM(
        str(MODEL),
        enforce_eager=settings.enforce_eager,
        dtype=settings.dtype,
        max_model_len=256,
        max_num_seqs=32,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        block_size=BLOCK_SIZE,
        seed=0,
        **settings.extra,
    )


def sampling(*, sampled: bool = False, index: int = 0, **settings: Any) -> Any:
    """Give fixed-length sampling parameters, so that batches with and without steering have the same shapes."""
    from vllm import SamplingParams

    how = {"temperature": 1.0, "seed": 1000 + index} if sampled else {"temperature": 0.0}
    values = {"max_tokens": NUM_GENERATED, "ignore_eos": True, "logprobs": 8, **how, **settings}
    return SamplingParams(**values)


def generate(llm: Any, prompts: Sequence[Sequence[int]], params: Sequence[Any]) -> list[Reply]:
    """Send one batch and wait for all of it."""
    inputs = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
    return [Reply.of(output) for output in llm.generate(inputs, list(params), use_tqdm=False)]


def make_prompts(num: int = 16) -> list[list[int]]:
    """Give questions of the organism's world in its four scripts, thinking and direct, over one to several blocks."""
    from transformers import AutoTokenizer

    from polyglyph.analysis.organism.question import Question
    from polyglyph.analysis.organism.world import make_world
    from polyglyph.analysis.organism.writing import SCRIPTS

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    facts = make_world(0).facts
    prompts = []
    for index in range(num):
        script = SCRIPTS[index % len(SCRIPTS)]
        # The last questions of a conversation of up to five turns: prompts of one to several blocks.
        turns = [facts[(index * 37 + turn * 11) % len(facts)] for turn in range(1 + index % 5)]
        messages: list[dict[str, str]] = []
        for fact in turns:
            question = Question(fact=fact, script=script)
            messages += [*question.messages, {"role": "assistant", "content": question.answer}]
        ids = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, enable_thinking=(index // 3) % 2 == 0, return_dict=False
        )
        prompts.append(list(ids))
    return prompts


def plain_replies(settings: EngineSettings, *, folder: Path) -> dict[str, list[Reply]]:
    """Run the same requests on plain vLLM, in a process of its own that has ended when this returns.

    Returns:
        Greedy and sampled replies, by these words.
    """
    request, answer = folder / "settings.json", folder / "replies.json"
    request.write_text(json.dumps(asdict(settings)))
    environment = {**os.environ, **ENVIRONMENT, "POLYGLYPH_DISABLE": "1"}
    command = [sys.executable, "-m", "tests.support.engine", str(request), str(answer)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return {kind: [_reply(reply) for reply in replies] for kind, replies in json.loads(answer.read_text()).items()}


def _reply(document: dict[str, Any]) -> Reply:
    logprobs = tuple(tuple((token, logprob) for token, logprob in step) for step in document["logprobs"])
    return Reply(tuple(document["token_ids"]), logprobs, document["num_cached"])


def _main(request: Path, answer: Path) -> None:
    llm = start(EngineSettings(**json.loads(request.read_text())))
    prompts = make_prompts()
    replies = {
        kind: generate(llm, prompts, [sampling(sampled=kind == "sampled", index=i) for i in range(len(prompts))])
        for kind in ("greedy", "sampled")
    }
    answer.write_text(json.dumps({kind: [asdict(reply) for reply in batch] for kind, batch in replies.items()}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
