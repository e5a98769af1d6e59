"""What Polyglyph leans on in vLLM: wrapped once, missed loudly, and refused where it cannot be steered."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from polyglyph.contract.errors import RequestError, UnsupportedModelError, UnsupportedVllmError
from polyglyph.contract.plan import Edit
from polyglyph.contract.steering import ORIGIN_KEY, PAYLOAD_KEY, SteeringPayload
from polyglyph.routing.compat.activity import EngineActivity
from polyglyph.routing.compat.block_hash import _mark_generated
from polyglyph.routing.compat.input_processor import _attach_payload, _number_choices, compose_salt
from polyglyph.routing.compat.markers import markers_of
from polyglyph.routing.compat.model_hooks import ModelHooks
from polyglyph.routing.compat.monolithic import patch_kernel_choice
from polyglyph.routing.compat.patching import is_wrapped, wrap
from polyglyph.routing.compat.payloads import payload_of
from polyglyph.routing.compat.routers import describe_router
from polyglyph.routing.compat.versions import check_vllm_version
from polyglyph.routing.compat.worker import check_engine
from polyglyph.routing.ticket import CURRENT_TICKET, Ticket
from tests.routing.test_tracker import Bench, E, K

STEERED = SteeringPayload(key="a" * 32, edits=(Edit(layer=0, experts=(1,), op="ban"),))
UNSTEERED = SteeringPayload(key="b" * 32)


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1+cpu", "0.33.0rc1"])
def test_supported_vllm_passes(version: str) -> None:
    check_vllm_version(version)


@pytest.mark.parametrize("version", ["0.31.9", "0.34.0", "1.0", "dev", "0.320.1"])
def test_another_vllm_is_refused_with_both_numbers(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedVllmError, match=r"0\.32\.x and 0\.33\.x, found vLLM " + version.replace(".", r"\.")):
        check_vllm_version(version)
    monkeypatch.setenv("POLYGLYPH_ALLOW_UNTESTED_VLLM", "1")
    check_vllm_version(version)


def test_a_symbol_that_is_gone_is_named() -> None:
    class Owner:
        pass

    with pytest.raises(UnsupportedVllmError, match=r"Owner\.vanished"):
        wrap(Owner, "vanished", lambda original: original)


def test_wrapping_twice_wraps_once_and_can_be_seen() -> None:
    class Owner:
        def method(self) -> int:
            return 1

    for _ in range(2):
        wrap(Owner, "method", lambda original: lambda self: original(self) + 1)
    assert Owner().method() == 2
    assert is_wrapped(Owner, "method")
    Owner.method = lambda self: 1  # type: ignore[method-assign]
    assert not is_wrapped(Owner, "method")


def request_of(payload: SteeringPayload | None, *, num_prompt: int) -> Any:
    extra_args = None if payload is None else {PAYLOAD_KEY: payload.model_dump_json()}
    return SimpleNamespace(num_prompt_tokens=num_prompt, sampling_params=SimpleNamespace(extra_args=extra_args))


def block_keys(payload: SteeringPayload | None, *, num_prompt: int, start: int) -> Any:
    marked = _mark_generated(lambda request, start, end, mm: ((("cache_salt", "s"),), mm))
    keys, next_mm = marked(request_of(payload, num_prompt=num_prompt), start, start + 32, 7)
    assert next_mm == 7
    return keys


def test_a_steered_block_says_where_generation_began() -> None:
    assert block_keys(STEERED, num_prompt=40, start=0) == (("cache_salt", "s"),)
    assert block_keys(STEERED, num_prompt=40, start=32)[-1] == ("polyglyph_generated_from", 8)
    assert block_keys(STEERED, num_prompt=40, start=64)[-1] == ("polyglyph_generated_from", 0)


@pytest.mark.parametrize("payload", [None, UNSTEERED, STEERED.model_copy(update={"strength": 0.0})])
def test_an_unsteered_block_keeps_its_keys(payload: SteeringPayload | None) -> None:
    assert block_keys(payload, num_prompt=40, start=32) == (("cache_salt", "s"),)


def processed(ticket: Ticket | None, **request: Any) -> Any:
    params = SimpleNamespace(extra_args={"theirs": 1}, n=2, skip_reading_prefix_cache=None)
    fields = {"sampling_params": params, "cache_salt": None, "resumable": False, "request_id": "req"}
    document = SimpleNamespace(**(fields | request))
    token = CURRENT_TICKET.set(ticket)
    try:
        return _attach_payload(lambda _self: document)(None)
    finally:
        CURRENT_TICKET.reset(token)


def test_the_ticket_is_attached_beside_the_callers_own_arguments() -> None:
    ticket = Ticket(STEERED)
    done = processed(ticket)
    assert done.sampling_params.extra_args == {
        "theirs": 1,
        PAYLOAD_KEY: STEERED.model_dump_json(),
        ORIGIN_KEY: ("req", 0, STEERED.cache_salt),
    }
    assert ticket.num_engine_requests == 1


def test_sequences_are_numbered_over_prompts_and_choices() -> None:
    ticket = Ticket(STEERED)
    numbers = []
    for _ in range(2):
        params = processed(ticket).sampling_params
        parent = SimpleNamespace()
        child_info = _number_choices(lambda _self, index, params=params: (f"{index}_id", params))
        numbers += [payload_of(child_info(parent, index)[1]).sequence for index in range(2)]
    assert numbers == [0, 1, 2, 3]
    assert ticket.num_sequences == 4


def test_only_a_trace_that_must_be_whole_makes_the_prompt_be_computed_again() -> None:
    assert processed(Ticket(STEERED)).sampling_params.skip_reading_prefix_cache is None
    whole = STEERED.model_copy(update={"recomputes_prefix": True})
    assert processed(Ticket(whole)).sampling_params.skip_reading_prefix_cache


def test_only_steered_requests_are_salted() -> None:
    assert processed(Ticket(UNSTEERED)).cache_salt is None
    assert processed(None).cache_salt is None
    assert processed(Ticket(UNSTEERED), cache_salt="theirs").cache_salt == "theirs"
    assert processed(Ticket(STEERED)).cache_salt


def test_salts_tell_plans_strengths_phases_and_callers_apart() -> None:
    payloads = [
        STEERED,
        STEERED.model_copy(update={"strength": 0.5}),
        STEERED.model_copy(update={"phases": ("prompt",)}),
        STEERED.model_copy(update={"edits": (Edit(layer=1, experts=(1,), op="ban"),)}),
    ]
    salts = {compose_salt(payload.cache_salt or "", callers) for payload in payloads for callers in (None, "a", "b")}
    assert len(salts) == 12
    assert all(len(salt) <= 128 and not set(salt) & set("@/\\") for salt in salts)
    again = STEERED.model_copy(update={"key": "c" * 32, "tag": "another", "wants_summary": True})
    assert again.cache_salt == STEERED.cache_salt


def test_a_request_whose_input_is_streamed_is_refused() -> None:
    with pytest.raises(RequestError, match="send the whole prompt"):
        processed(Ticket(STEERED), resumable=True)
    assert processed(Ticket(UNSTEERED), resumable=True)


def test_an_engine_is_idle_when_no_request_has_run_for_two_questions() -> None:
    running: list[str] = []
    processor = SimpleNamespace(add_request=running.append, has_unfinished_requests=lambda: bool(running))
    activity = EngineActivity(SimpleNamespace(output_processor=processor))
    assert [activity.is_idle() for _ in range(4)] == [False, False, True, True]
    processor.add_request("short")
    running.clear()  # it came and went between two questions
    assert [activity.is_idle() for _ in range(3)] == [False, False, True]
    processor.add_request("long")
    assert not any(activity.is_idle() for _ in range(5))


class Vocabulary:
    """A tokenizer that splits at its known words."""

    def __init__(self, *words: str) -> None:
        self._ids = {word: index + 10 for index, word in enumerate(words)}

    def get_vocab(self) -> dict[str, int]:
        return self._ids

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        ids = []
        while text:
            word = next(word for word in self._ids if text.startswith(word))
            ids.append(self._ids[word])
            text = text.removeprefix(word)
        return ids


def test_markers_come_from_the_vocabulary() -> None:
    assert markers_of(Vocabulary("<think>", "</think>")) == ([[10]], [[11]])
    assert markers_of(Vocabulary("<think>", "a")) == ([], [])
    harmony = Vocabulary("<|channel|>", "analysis", "final", "<|message|>", "<|end|>")
    assert markers_of(harmony) == ([[10, 11, 13]], [[14], [10, 12, 13]])


SETTINGS: dict[str, Any] = {"pipeline_parallel_size": 1, "data_parallel_size": 1}


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("pipeline_parallel_size", 2, "pipeline parallelism"),
        ("data_parallel_size", 2, "data parallelism"),
        ("enable_dbo", True, "dual batch overlap"),
        ("use_sequence_parallel_moe", True, "sequence-parallel"),
    ],
)
def test_engine_settings_under_which_tokens_cannot_be_told_apart_are_refused(
    setting: str, value: Any, named: str
) -> None:
    check_engine(SimpleNamespace(parallel_config=SimpleNamespace(**SETTINGS)))
    with pytest.raises(UnsupportedModelError, match=named):
        check_engine(SimpleNamespace(parallel_config=SimpleNamespace(**(SETTINGS | {setting: value}))))


def config_with(*modules: nn.Module) -> Any:
    context = {str(index): module for index, module in enumerate(modules)}
    return SimpleNamespace(compilation_config=SimpleNamespace(static_forward_context=context))


def test_a_dense_model_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="Linear has no Mixture-of-Experts layer"):
        ModelHooks(nn.Linear(2, 2), config_with())


def test_a_model_with_layers_out_of_reach_is_refused_with_both_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.model_executor.layers.fused_moe.runner import moe_runner

    class Runner(nn.Module):
        pass

    monkeypatch.setattr(moe_runner, "MoERunner", Runner)
    monkeypatch.setattr("polyglyph.routing.compat.model_hooks._expected_layers", lambda model, found: 3)
    model = nn.ModuleList([Runner(), Runner()])
    with pytest.raises(UnsupportedModelError, match="3 MoE layers, but the routers of only 2"):
        ModelHooks(model, config_with(*model))


def test_a_router_of_an_unknown_class_is_refused_with_its_layer() -> None:
    with pytest.raises(UnsupportedModelError, match=r"layers\.5.*SimpleNamespace"):
        describe_router(SimpleNamespace(), layer=0, model_layer=5, name="model.layers.5")


def test_kernels_that_route_inside_themselves_are_never_chosen() -> None:
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUExpertsFp8
    from vllm.model_executor.layers.fused_moe.modular_kernel import FusedMoEExperts, FusedMoEExpertsMonolithic

    patch_kernel_choice()

    class Monolithic(FusedMoEExpertsMonolithic):
        pass

    supported, reason = FusedMoEExperts.is_supported_config(Monolithic, None, None, None, None)
    assert not supported
    assert reason is not None
    assert "Polyglyph" in reason
    assert not CPUExpertsFp8.is_monolithic()


def test_the_operators_fake_gives_what_the_operator_gives() -> None:
    from polyglyph.routing import operator

    before = list(operator._installed)
    operator.install_layers(Bench().layers)
    inputs = (torch.randn(3, E), torch.rand(3, K), torch.zeros(3, K, dtype=torch.int32), torch.randn(3, 8), 0)
    try:
        outcome = torch.library.opcheck(operator.route, inputs, test_utils=("test_schema", "test_faketensor"))
    finally:
        operator._installed[:] = before
    assert set(outcome.values()) == {"SUCCESS"}
