"""One engine in a process of its own, which measures a batch whenever its driver says so.

Speaks lines of JSON: reads `{"arm": ..., "num_requests": ...}` from standard input, and answers with
`{"seconds": ..., "tokens": ...}`.
"""

import json
import sys
import time
from typing import Any

from benchmarks.arms import ARMS, PLAIN, Arm
from polyglyph import bundled_organism
from polyglyph.contract.plan import Edit

MAX_REQUESTS = 64
NUM_TOKENS = 64
PROMPT_LEN = 12
DRAIN_SECONDS = 1.0
GPU_SHARE = 0.2
EDITS = (
    *(Edit(layer=layer, experts=(1, 5), op="add_std", value=1.0) for layer in (0, 1, 2, 3)),
    Edit(layer=4, experts=(0,), op="ban"),
    Edit(layer=5, experts=(2,), op="scale", value=2.0, renormalize=True),
)


def main(*, enforce_eager: bool) -> None:
    """Start the engine, warm it up, then measure on demand until standard input ends."""
    started = time.perf_counter()
    llm = Worker.start(enforce_eager=enforce_eager)
    startup_s = time.perf_counter() - started
    worker = Worker(llm)
    worker.measure(ARMS[PLAIN], MAX_REQUESTS)
    _say({"startup_s": startup_s})
    for line in sys.stdin:
        asked = json.loads(line)
        _say(worker.measure(ARMS[asked["arm"]], asked["num_requests"]))


class Worker:
    """Sends batches through one engine.

    Args:
        llm: A `vllm.LLM`.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._since_drain_s = 0.0

    @staticmethod
    def start(*, enforce_eager: bool) -> Any:
        """Start an engine of the organism."""
        from vllm import LLM
        from vllm.platforms import current_platform

        # A GPU has to hold all engines of a comparison; vLLM's default gives the first one nearly all of it.
        share = {"gpu_memory_utilization": GPU_SHARE} if current_platform.is_cuda() else {}
        return LLM(
            str(bundled_organism()),
            enforce_eager=enforce_eager,
            max_model_len=256,
            max_num_seqs=MAX_REQUESTS,
            block_size=32,
            seed=0,
            enable_prefix_caching=False,
            **share,
        )

    def measure(self, arm: Arm, num_requests: int) -> dict[str, float]:
        """Generate one batch of requests, and take what it left behind."""
        from vllm import SamplingParams

        steering = None if arm.environment.get("POLYGLYPH_DISABLE") else self._steering()
        asked = [self._ask(arm, steering, index) for index in range(num_requests)]
        params = [
            SamplingParams(temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True, extra_args=extra_args)
            for extra_args in asked
        ]
        prompts = [
            {"prompt_token_ids": [10 + (7 * i + j) % 800 for j in range(PROMPT_LEN)]} for i in range(num_requests)
        ]
        started = time.perf_counter()
        self._llm.enqueue(prompts, params, use_tqdm=False)
        num_tokens = self._run_engine(steering if arm.keeps_stats else None)
        if steering is not None:
            self._take_receipts(steering, arm, num_asked=sum(extra_args is not None for extra_args in asked))
        return {"seconds": time.perf_counter() - started, "tokens": num_tokens}

    def _steering(self) -> Any:
        from polyglyph.routing.offline import OfflineSteering

        return OfflineSteering(self._llm)

    def _ask(self, arm: Arm, steering: Any, index: int) -> dict[str, Any] | None:
        """Give the `extra_args` of one request, each with a receipt of its own."""
        is_steered = arm.is_steered and index % 2 == 0
        if not (is_steered or arm.trace or arm.wants_summary):
            return None
        extra_args: dict[str, Any] = steering.extra_args(
            EDITS if is_steered else (), trace=arm.trace, wants_summary=arm.wants_summary, key=f"{index:032x}"
        )
        return extra_args

    def _run_engine(self, drained: Any) -> int:
        """Step until all is generated, as `LLM.generate` does, and drain the stats as a server does.

        Args:
            drained: Whose stats are taken and thrown away after every second; None for no stats.

        Returns:
            Tokens generated.
        """
        num_tokens, before = 0, time.perf_counter()
        while self._llm.llm_engine.has_unfinished_requests():
            outputs = self._llm.llm_engine.step()
            num_tokens += sum(len(output.outputs[0].token_ids) for output in outputs if output.finished)
            before, passed_s = time.perf_counter(), time.perf_counter() - before
            self._since_drain_s += passed_s
            if drained is not None and self._since_drain_s >= DRAIN_SECONDS:
                drained.reset_stats()
                self._since_drain_s = 0.0
        return num_tokens

    def _take_receipts(self, steering: Any, arm: Arm, *, num_asked: int) -> None:
        from polyglyph.routing.wire import merge_receipts

        if not num_asked:
            return
        keys = [f"{index:032x}" for index in range(MAX_REQUESTS)]
        answers = self._llm.collective_rpc("polyglyph_take_receipts", args=(keys,))
        receipts = merge_receipts(answers, steering.model)
        assert len(receipts) == num_asked, f"{len(receipts)} receipts of {num_asked}"
        if arm.trace is not None:
            rows = {len(trace.ids) for receipt in receipts.values() for trace in receipt.traces if trace is not None}
            assert rows == {PROMPT_LEN + NUM_TOKENS - 1}, f"traces of {rows} tokens"


def _say(document: dict[str, float]) -> None:
    # vLLM prints on standard output too: the driver looks for this mark.
    print("@" + json.dumps(document), flush=True)


if __name__ == "__main__":
    main(enforce_eager=sys.argv[1] == "eager")
