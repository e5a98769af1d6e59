"""On Model Runner V2 every request is steered and counted as Hugging Face's model with the same edits says.

Real engines in this process, their Triton kernels interpreted on the CPU, float32. What a request generated is read
once more by the other model, whose greedy choices, phases, selections and weights must be the same.
"""

import os

from tests.support import v2_interpreter

v2_interpreter.install(plugins="polyglyph")
# What a GPU runs, not what a processor does.
KERNELS = "annotate=triton,label_scripts=parallel,tally=reference,steer_route="
os.environ["POLYGLYPH_KERNELS"] = KERNELS + "reference"

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory
from vllm.utils.serial_utils import numpy2base64
from vllm.v1.worker.gpu.warmup import run_mixed_prefill_decode_warmup

from polyglyph.contract.plan import Edit
from polyglyph.contract.steering import TraceOptions
from polyglyph.routing.offline import OfflineSteering
from polyglyph.routing.wire import Receipt, WorkerTrace
from polyglyph.server.token_traces import encode_for_vllm
from tests.support.steered_model import SteeredModel, Steering, Truth
from tests.support.tiny_moe import END_THINK, LAYERS, THINK, TOP_K, save_tiny_moe

v2_interpreter.allow_async_scheduling()

pytestmark = pytest.mark.timeout(900)

NUM_GENERATED = 40
PROMPT_LENS = (3, 12, 9, 40, 17, 33, 70, 5)
BAN = (Edit(layer=0, experts=(1, 2), op="ban"), Edit(layer=3, experts=(0, 5, 6), op="ban"))
FORCE = (Edit(layer=1, experts=(4,), op="force"),)
PUSH = tuple(Edit(layer=layer, experts=(layer, 7), op="add", value=1.5) for layer in range(LAYERS))
SPREAD = (
    Edit(layer=2, experts=(3,), op="add_std", value=2.0),
    Edit(layer=2, experts=(6,), op="scale", value=3.0, renormalize=True),
)
STEERINGS = (
    Steering(),
    Steering(BAN),
    Steering(FORCE, ("reasoning",)),
    Steering(),
    Steering(PUSH, ("answer",)),
    Steering(SPREAD, ("prompt", "answer"), strength=0.5),
    Steering(PUSH, ("prompt",), strength=-1.0),
    Steering((*BAN, *FORCE), ("reasoning", "answer")),
)
NUM_DRAFTS = 3
MAX_SURPLUS = 2 * NUM_DRAFTS + 1
"""The drafts behind a reply's end, and a whole step that was under way before the end was known."""
DRAFTS = {"method": "ngram", "num_speculative_tokens": NUM_DRAFTS, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
SCENARIOS: dict[str, dict[str, Any]] = {
    "chunked prefill": {"max_num_batched_tokens": 32, "enable_return_routed_experts": True},
    "preemption": {"max_num_batched_tokens": 64, "num_gpu_blocks_override": 12},
    "asynchronous preemption": {"async_scheduling": True, "num_gpu_blocks_override": 12},
    "drafts": {"max_num_batched_tokens": 64, "speculative_config": DRAFTS},
    "asynchronous drafts": {
        "async_scheduling": True,
        "speculative_config": {"method": "draft_model", "num_speculative_tokens": NUM_DRAFTS},
    },
}
STEERED_BY_TRITON = "preemption"
"""One scenario is enough: interpreted, the kernel takes up to 30 milliseconds for each token and layer."""
IN_PLAIN_BATCHES = pytest.mark.parametrize("engine", ["chunked prefill"], indirect=True, scope="module")


@dataclass(frozen=True)
class Served:
    """One request as the engine served it, and the truth about what the engine computed for it.

    Tokens that the model accepted behind the last one of the reply went through it, and count.
    """

    prompt_len: int
    text: list[int]
    receipt: Receipt
    truth: Truth
    num_surplus: int
    trace: WorkerTrace
    routed_experts: np.ndarray | None


class Engine:
    """A vLLM engine, and the other model beside it."""

    def __init__(self, folder: str, model: SteeredModel, **settings: Any) -> None:
        settings = {"max_num_batched_tokens": 128, "disable_log_stats": False, **settings}
        self.llm = LLM(
            folder,
            dtype="float32",
            enforce_eager=True,
            max_model_len=256,
            max_num_seqs=8,
            block_size=32,
            **_with_draft_model(settings, folder),
        )
        self.offline = OfflineSteering(self.llm)
        self.model = model

    def serve(self, prompts: list[list[int]], steerings: tuple[Steering, ...] = STEERINGS) -> list[Served]:
        keys = [f"{index:032x}" for index in range(len(prompts))]
        params = [
            SamplingParams(
                temperature=0,
                max_tokens=NUM_GENERATED,
                ignore_eos=True,
                extra_args=self.offline.extra_args(
                    asked.edits,
                    strength=asked.strength,
                    phases=asked.phases,
                    wants_summary=True,
                    trace=TraceOptions(),
                    key=key,
                ),
            )
            for asked, key in zip(steerings, keys, strict=True)
        ]
        outputs = self.llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)
        return [
            self.read(prompt, output.outputs[0], asked, self.offline.take_receipt(key))
            for prompt, output, asked, key in zip(prompts, outputs, steerings, keys, strict=True)
        ]

    def read(self, prompt: list[int], completion: Any, asked: Steering, receipt: Receipt | None) -> Served:
        assert receipt is not None
        assert receipt.num_tokens is not None
        text = [*prompt, *completion.token_ids]
        num_surplus = max(0, int(receipt.num_tokens.sum()) - (len(text) - 1))
        truth = self.model.read(text, len(prompt), asked)
        computed = list(text)
        for _ in range(min(num_surplus, MAX_SURPLUS)):
            truth = self.model.read([*computed, 0], len(prompt), asked)
            computed.append(truth.next_tokens[-1])
        (trace,) = receipt.traces
        assert trace is not None
        return Served(len(prompt), text, receipt, truth, num_surplus, trace, completion.routed_experts)

    def metric(self, name: str) -> float:
        return sum(metric.value for metric in self.llm.get_metrics() if metric.name == f"vllm:{name}")

    def close(self) -> None:
        del self.llm, self.offline
        gc.collect()
        cleanup_dist_env_and_memory()


def _with_draft_model(settings: dict[str, Any], folder: str) -> dict[str, Any]:
    """Let the served model draft for itself: unsteered, it is right for unsteered requests and wrong for others."""
    drafts = settings.get("speculative_config", {})
    return (
        settings | {"speculative_config": drafts | {"model": folder}} if "draft_model" in drafts.values() else settings
    )


@pytest.fixture(scope="module")
def tiny_moe(tmp_path_factory) -> tuple[str, SteeredModel]:
    folder = tmp_path_factory.mktemp("model")
    return str(folder), SteeredModel(save_tiny_moe(folder), think=THINK, end_think=END_THINK)


@pytest.fixture(scope="module", params=SCENARIOS)
def engine(request, tiny_moe) -> Iterator[Engine]:
    kernel = "triton" if request.param == STEERED_BY_TRITON else "reference"
    os.environ["POLYGLYPH_KERNELS"] = KERNELS + kernel
    engine = Engine(*tiny_moe, **SCENARIOS[request.param])
    (worker,) = engine.offline.report.workers
    assert {hook.kernel for hook in worker.hooks} == {kernel}
    assert worker.kernels["annotate"] == "triton"
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(1, THINK, (length,), generator=generator).tolist() for length in PROMPT_LENS]
    prompts[2] += [THINK]
    prompts[5][10:12] = [THINK, END_THINK]
    return prompts


@pytest.fixture(scope="module")
def served(engine, prompts) -> list[Served]:
    engine.offline.reset_stats()
    return engine.serve(prompts)


def test_tokens_are_the_other_model_s_greedy_choices(served):
    for one in served:
        assert one.text[one.prompt_len :] == one.truth.next_tokens[one.prompt_len - 1 : len(one.text) - 1]


def test_every_token_is_counted_once_in_its_phase(served):
    assert [one.receipt.num_tokens.tolist() for one in served] == [one.truth.num_tokens() for one in served]
    assert all(sum(one.truth.num_tokens()[phase] for one in served) for phase in range(3)), "a phase went untested"


def test_selections_are_equal_in_every_phase_layer_and_expert(served):
    for one in served:
        np.testing.assert_array_equal(one.receipt.selected, one.truth.selected())


def test_weight_sums_agree_to_rounding(served):
    for one in served:
        np.testing.assert_allclose(one.receipt.weight_sum, one.truth.weight_sum(), rtol=1e-5, atol=1e-5)


def test_the_dose_counts_steered_tokens_and_changed_selections(served):
    for one in served:
        assert one.receipt.tokens_steered == one.truth.steered_T.sum()
        assert one.receipt.selections_changed == one.truth.changed_TL[one.truth.steered_T].sum()


def test_the_engine_s_sums_are_those_of_its_requests(engine, served):
    selected = engine.offline.read_selected()
    np.testing.assert_array_equal(selected, sum(one.truth.selected().sum(axis=0) for one in served))
    assert selected.sum() == TOP_K * LAYERS * sum(len(one.text) - 1 + one.num_surplus for one in served)


def test_the_scenario_happened(request, engine, served):
    scenario = request.node.callspec.params["engine"]
    assert (engine.metric("num_preemptions") > 0) == ("preemption" in scenario)
    drafted, accepted = engine.metric("spec_decode_num_draft_tokens"), engine.metric("spec_decode_num_accepted_tokens")
    assert (0 < accepted < drafted) == ("drafts" in scenario)
    assert "drafts" in scenario or not any(one.num_surplus for one in served)


@IN_PLAIN_BATCHES
def test_ids_are_those_that_vllm_captures_itself(engine, served):
    for one in served:
        captured = np.sort(one.routed_experts, axis=-1)
        np.testing.assert_array_equal(captured, one.truth.ids_TLK.numpy())


def test_traces_hold_every_token_with_its_phase_and_experts(served):
    for one in served:
        rows = len(one.text) - 1
        assert one.trace.token_ids[:rows].tolist() == one.text[:-1]
        assert one.trace.computed.all()
        assert one.trace.phases[:rows].tolist() == one.truth.phases[:rows]
        np.testing.assert_array_equal(one.trace.steered[:rows], one.truth.steered_T[:rows])
        np.testing.assert_array_equal(np.sort(one.trace.ids[:rows], axis=-1), one.truth.ids_TLK[:rows].numpy())


@IN_PLAIN_BATCHES
def test_traces_in_vllms_encoding_are_vllms_own_byte_for_byte(engine, served):
    for one in served:
        assert encode_for_vllm(one.trace, engine.offline.report, prompt_start=0) == numpy2base64(one.routed_experts)


@IN_PLAIN_BATCHES
def test_cached_keys_serve_the_next_turn_under_the_same_plan(engine, served):
    """What was generated in one phase comes back as prompt, whose edits may be others."""
    hits = engine.metric("prefix_cache_hits")
    test_tokens_are_the_other_model_s_greedy_choices(engine.serve([one.text for one in served]))
    assert engine.metric("prefix_cache_hits") > hits


@IN_PLAIN_BATCHES
def test_cached_keys_never_serve_another_plan(engine, served):
    texts = [one.text for one in served]
    test_tokens_are_the_other_model_s_greedy_choices(engine.serve(texts, (*STEERINGS[1:], STEERINGS[0])))


@IN_PLAIN_BATCHES
def test_slots_of_the_neighbouring_token_would_be_noticed(engine, prompts, monkeypatch):
    from polyglyph.routing.tracker import RequestTracker

    begin_step = RequestTracker.begin_step

    def begin_rolled_step(self, *args, **kwargs):
        begin_step(self, *args, **kwargs)
        slot_T = self.layers.notes.slot_T
        slot_T.copy_(slot_T.roll(1))
        self.layers.set_step(is_steered=True, is_logged=True)

    monkeypatch.setattr(RequestTracker, "begin_step", begin_rolled_step)
    engine.llm.reset_prefix_cache()
    with pytest.raises(AssertionError):
        test_selections_are_equal_in_every_phase_layer_and_expert(engine.serve(prompts))


@IN_PLAIN_BATCHES
def test_requests_of_the_engine_s_own_warm_up_are_not_counted(engine):
    worker = engine.llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker

    def warm_up() -> None:
        assert run_mixed_prefill_decode_warmup(worker.model_runner, worker.execute_model, worker.sample_tokens, 20)

    engine.offline.reset_stats()
    warm_up()
    assert engine.offline.read_selected().any(), "to the hooks they are requests like any other"
    engine.offline.reset_stats()
    warm_up()
    worker.compile_or_warm_up_model()
    assert not engine.offline.read_selected().any()
