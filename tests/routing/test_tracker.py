"""The tracker over whole lives of requests: slots by content, sums by group, receipts by request; without an engine."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import Edit
from polyglyph.contract.steering import SteeringPayload, TraceOptions
from polyglyph.contract.sums import GroupKey, GroupSums, overflow_key
from polyglyph.kernels.annotate import MarkerAutomaton
from polyglyph.kernels.label_scripts import LabelTable
from polyglyph.kernels.steer_route import SelectionRule
from polyglyph.routing import stats
from polyglyph.routing.groups import RESERVED_FOR_SCRIPTS
from polyglyph.routing.layers import RoutedLayers
from polyglyph.routing.recorder import RecorderOptions
from polyglyph.routing.scripts.causal import build_label_table
from polyglyph.routing.scripts.characters import characters
from polyglyph.routing.scripts.vocabulary import Vocabulary
from polyglyph.routing.tracker import RequestTracker, TrackerLimits
from polyglyph.routing.wire import WorkerTrace, decode_drain, decode_finished, decode_trace

L, E, K = 2, 6, 2
OPEN, CLOSE = 1, 2
MAX_REQS, MAX_TOKENS = 4, 64
PHASES = ("prompt", "reasoning", "answer")
VOCABULARY = {3: "х", 7: "a", 8: "ж", 9: " ", 10: "b", 11: "1", 12: "क"}
SCRIPTS = {3: "Cyrl", 7: "Latn", 8: "Cyrl", 10: "Latn", 12: "Deva"}
BAN = (Edit(layer=1, experts=(0,), op="ban"),)


@dataclass
class Life:
    """One request as the test knows it: all its tokens are known in advance."""

    tokens: list[int]
    prompt_len: int
    payload: SteeringPayload | None
    computed: int = 0
    counted: Counter[str] = field(default_factory=Counter)

    def phase(self, position: int) -> str:
        if position < self.prompt_len:
            return "prompt"
        is_open = False
        for token in self.tokens[: position + 1]:
            is_open = {OPEN: True, CLOSE: False}.get(token, is_open)
        return "reasoning" if is_open else "answer"

    @property
    def steered(self) -> int:
        if self.payload is None or not self.payload.is_steered:
            return 0
        return sum(self.counted[phase] for phase in self.payload.phases)


def label_table() -> LabelTable:
    return build_label_table(Vocabulary.of({i: text.encode() for i, text in VOCABULARY.items()}), characters())


class Bench:
    """A tracker with made-up layers, driven as a model runner drives it."""

    def __init__(self, *, keeps_stats: bool = True, keeps_traces: bool = False) -> None:
        # The same numbers in every run: scores are kept as float16, in which two experts can be level.
        self.generator = torch.Generator().manual_seed(0)
        router = RouterDescription(layer=0, model_layer=0, name="layer", kind="softmax", experts=E, top_k=K)
        self.layers = RoutedLayers(
            [(router, SelectionRule("softmax", K))] * L,
            num_slots=MAX_REQS + 1,
            max_num_tokens=MAX_TOKENS,
            device=torch.device("cpu"),
        )
        self.tracker = RequestTracker(
            self.layers,
            automaton=MarkerAutomaton.build([[OPEN]], [[CLOSE]]),
            labels=label_table(),
            limits=TrackerLimits(max_num_reqs=MAX_REQS, ring_width=5),
            options=RecorderOptions(counts=True, keeps_stats=keeps_stats, keeps_traces=keeps_traces),
        )
        self.binding = ModelBinding(architecture="Fake", layers=L, experts=E, top_k=K, fingerprint="sha256:" + "0" * 64)
        self.model = ModelDescription(binding=self.binding, routers=(router,) * L)
        self.serial = 0
        self.sums: dict[GroupKey, GroupSums] = {}
        self.lives: dict[str, Life] = {}

    def add(self, req_id: str, life: Life, *, num_cached: int = 0) -> None:
        self.lives[req_id] = life
        life.computed = num_cached
        self.resume(req_id)

    def resume(self, req_id: str) -> None:
        life = self.lives[req_id]
        self.tracker.add(
            req_id,
            life.payload,
            prompt_token_ids=life.tokens[: life.prompt_len],
            prompt_len=life.prompt_len,
            known_token_ids=life.tokens,
            num_computed=life.computed,
        )

    def step(self, chunks: dict[str, int], *, rejected: dict[str, int] | None = None) -> torch.Tensor:
        """Run one step of given chunk lengths; give the selections [L, T, K]."""
        rejected = rejected or {}
        lives = [self.lives[req_id] for req_id in chunks]
        lengths = torch.tensor([0, *chunks.values()], dtype=torch.int32)
        ids = [
            token
            for life, length in zip(lives, chunks.values(), strict=True)
            for token in life.tokens[life.computed : life.computed + length]
        ]
        self.tracker.begin_step(
            list(chunks),
            query_start_R1=lengths.cumsum(0, dtype=torch.int32),
            start_position_R=torch.tensor([life.computed for life in lives], dtype=torch.int32),
            input_ids_T=torch.tensor(ids, dtype=torch.int32),
            num_tokens=len(ids),
            num_scheduled=chunks,
        )
        selected = self.forward(len(ids))
        valid = [length - rejected.get(req_id, 0) for req_id, length in chunks.items()]
        self.tracker.end_step(torch.tensor(valid, dtype=torch.int32) if rejected else None)
        for life, count in zip(lives, valid, strict=True):
            life.counted.update(life.phase(p) for p in range(life.computed, life.computed + count))
            life.computed += count
        return selected

    def forward(self, num_tokens: int) -> torch.Tensor:
        selected = []
        for layer in range(L):
            logits = torch.randn(num_tokens, E, generator=self.generator)
            weights, ids = logits.softmax(dim=-1).topk(K, dim=-1)
            ids = ids.int()
            self.layers.route(layer, logits, weights, ids, torch.zeros(num_tokens, 1))
            selected.append(ids)
        return torch.stack(selected)

    def drain(self) -> dict[GroupKey, GroupSums]:
        """Give all sums so far, as the front end adds them up."""
        drained = decode_drain(self.tracker.drain_stats(self.serial), self.model)
        self.serial = drained.serial
        for group in drained.groups or ():
            known = self.sums.get(group.key)
            self.sums[group.key] = known + group if known else group
        return self.sums

    def group_tokens(self) -> dict[tuple[str, str, str, str], int]:
        """Give tokens by request script, plan, tag and phase."""
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for key, group in self.drain().items():
            if group.tokens:
                counts[key.request_script, key.plan, key.tag, key.phase] += group.tokens
        return dict(counts)


def payload(number: int = 0, **fields: Any) -> SteeringPayload:
    return SteeringPayload(key=f"{number:032x}", **fields)


def life(num_prompt: int = 5, num_generated: int = 6, asked: SteeringPayload | None = None) -> Life:
    generated = [7, OPEN, 8, 9, CLOSE, 10, 11, 12][:num_generated]
    return Life([3] * num_prompt + generated, num_prompt, asked)


def run(bench: Bench, req_id: str, *, chunk: int = 64) -> None:
    """Prefill in chunks, then one token at a time, to the last token that goes through the model."""
    mine = bench.lives[req_id]
    while mine.computed < mine.prompt_len:
        bench.step({req_id: min(chunk, mine.prompt_len - mine.computed)})
    while mine.computed < len(mine.tokens):
        bench.step({req_id: 1})


def test_sums_are_kept_by_script_plan_tag_and_phase() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(script="Cyrl", tag="t")))
    run(bench, "a", chunk=2)
    assert bench.group_tokens() == {
        ("Cyrl", "", "t", "prompt"): 5,
        ("Cyrl", "", "t", "reasoning"): 3,
        ("Cyrl", "", "t", "answer"): 3,
    }


@pytest.mark.parametrize("phases", [("prompt",), ("reasoning",), ("answer",), ("reasoning", "answer"), PHASES])
def test_only_tokens_of_the_phases_are_steered(phases: tuple[str, ...]) -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(edits=BAN, phases=phases, wants_summary=True)))
    run(bench, "a")
    bench.tracker.finish(["a"])
    receipt = bench.tracker.take_receipts([f"{0:032x}"])[f"{0:032x}"]
    counts = dict(zip(PHASES, (5, 3, 3), strict=True))
    assert receipt.tokens_steered == sum(counts[phase] for phase in phases)
    assert receipt.num_tokens is not None
    assert receipt.selected is not None
    assert receipt.num_tokens.tolist() == [5, 3, 3]
    for index, phase in enumerate(PHASES):
        assert receipt.selected[index].sum() == counts[phase] * L * K
        if phase in phases:
            assert receipt.selected[index, 1, 0] == 0


def test_tokens_computed_again_after_preemption_count_once() -> None:
    bench = Bench()
    asked = payload(edits=BAN, phases=("reasoning",), wants_summary=True)
    bench.add("a", life(asked=asked))
    bench.step({"a": 5})
    for _ in range(4):
        bench.step({"a": 1})
    bench.tracker.pause(["a"])
    mine = bench.lives["a"]
    mine.counted.clear()
    mine.computed = 7  # a prefix cache holds the first two generated tokens, `<think>` among them
    bench.resume("a")
    bench.step({"a": 3})
    bench.step({"a": 1})
    bench.tracker.finish(["a"])
    receipt = bench.tracker.take_receipts([asked.key])[asked.key]
    assert receipt.num_tokens is not None
    assert receipt.num_tokens.tolist() == [5, 3, 3]
    assert receipt.tokens_steered == 3


def test_rejected_drafts_count_neither_as_tokens_nor_as_markers() -> None:
    bench = Bench()
    mine = life(asked=payload(wants_summary=True))
    bench.add("a", mine)
    bench.step({"a": 5})
    truth = mine.tokens
    mine.tokens = [*truth[:6], CLOSE, CLOSE, *truth[8:]]  # drafts of markers that the sampler rejects
    bench.step({"a": 3}, rejected={"a": 2})
    mine.tokens = truth
    run(bench, "a")
    assert {key[3]: count for key, count in bench.group_tokens().items()} == {"prompt": 5, "reasoning": 3, "answer": 3}


def test_prefix_cache_hits_are_not_counted() -> None:
    bench = Bench()
    bench.add("a", life(num_prompt=9), num_cached=4)
    run(bench, "a")
    assert bench.group_tokens()["Zyyy", "", "", "prompt"] == 5


def test_equal_edits_share_a_slot_and_all_are_given_back() -> None:
    bench = Bench()
    for index in range(MAX_REQS):
        bench.add(str(index), life(asked=payload(index, edits=BAN, strength=1.0 + index // 2)))
    bench.step({str(index): 5 for index in range(MAX_REQS)})
    assert len({int(slot) for slot in bench.layers.notes.slot_T[:20]}) == 2
    bench.tracker.pause(["0"])
    bench.tracker.finish(map(str, range(MAX_REQS)))
    assert bench.tracker._slots.num_used == 0


def test_more_plans_than_slots_over_time_never_run_out() -> None:
    bench = Bench()
    for index in range(3 * MAX_REQS):
        edits = (Edit(layer=0, experts=(index % E,), op="add", value=1.0 + index),)
        bench.add(str(index), life(asked=payload(index, edits=edits)))
        bench.step({str(index): 5})
        bench.tracker.finish([str(index)])
    assert bench.tracker._slots.num_used == 0


def test_rows_grow_when_preempted_requests_keep_theirs() -> None:
    bench = Bench()
    for index in range(3 * MAX_REQS):
        bench.add(str(index), life(asked=payload(index, edits=BAN, wants_summary=True)))
        bench.step({str(index): 5})
        bench.tracker.pause([str(index)])
    for index in range(3 * MAX_REQS):
        bench.resume(str(index))
        run(bench, str(index))
        bench.tracker.finish([str(index)])
    receipts = bench.tracker.take_receipts([payload(index).key for index in range(3 * MAX_REQS)])
    assert [receipt.tokens_steered for receipt in receipts.values()] == [11] * (3 * MAX_REQS)


def test_a_row_used_again_forgets_who_had_it() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(1, edits=BAN, wants_summary=True, script="Deva")))
    run(bench, "a")
    bench.tracker.finish(["a"])
    bench.tracker.clear_stats()
    bench.add("b", life())
    run(bench, "b")
    assert set(bench.group_tokens()) == {("Zyyy", "", "", phase) for phase in PHASES}
    assert bench.tracker.take_receipts([payload(1).key])[payload(1).key].tokens_steered == 11


def test_a_receipt_of_a_request_that_is_still_known_is_not_given_twice() -> None:
    bench = Bench()
    asked = payload(edits=BAN)
    bench.add("a", life(asked=asked))
    run(bench, "a")
    assert bench.tracker.take_receipts([asked.key])[asked.key].tokens_steered == 11
    bench.tracker.finish(["a"])
    assert bench.tracker.take_receipts([asked.key]) == {}


def test_a_dummy_step_is_neutral_and_counts_nothing() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(edits=BAN)))
    bench.step({"a": 5})
    before = bench.group_tokens()
    bench.tracker.begin_dummy_step()
    assert not bench.layers.notes.slot_T.any()
    bench.forward(8)
    bench.tracker.end_step(torch.tensor([8]))
    assert bench.group_tokens() == before


def test_a_step_without_steering_after_a_steered_one_logs_no_change() -> None:
    bench = Bench()
    force = (Edit(layer=0, experts=(5,), op="force"), Edit(layer=1, experts=(5,), op="force"))
    bench.add("steered", life(num_prompt=40, asked=payload(1, edits=force)))
    bench.add("plain", life(num_prompt=40))
    bench.step({"steered": 40})
    assert bench.layers.changed_LT[:, :40].any(dim=1).all()
    bench.step({"plain": 40})
    assert not bench.layers.changed_LT[:, :40].any()


def test_without_stats_only_receipts_are_kept() -> None:
    bench = Bench(keeps_stats=False)
    bench.add("a", life(asked=payload(edits=BAN, wants_summary=True)))
    bench.add("b", life())
    bench.step({"b": 5})
    bench.step({"a": 5, "b": 1})
    assert bench.tracker._recorder.stats is None
    assert bench.tracker.take_receipts([payload().key])[payload().key].tokens_steered == 5


def test_groups_beyond_the_bound_share_the_overflow() -> None:
    bench = Bench()
    own = stats.NUM_GROUPS - RESERVED_FOR_SCRIPTS
    for index in range(own + 30):
        bench.add(str(index), life(num_generated=0, asked=payload(index, tag=f"t{index}")))
        bench.step({str(index): 5})
        bench.tracker.finish([str(index)])
    sums = bench.drain()
    assert sum(group.tokens for group in sums.values()) == (own + 30) * 5
    assert sums[overflow_key("prompt")].tokens == 30 * 5


def test_an_interval_s_end_makes_room_for_other_groups() -> None:
    bench = Bench()
    for index in range(3 * stats.NUM_GROUPS):
        bench.add(str(index), life(num_generated=0, asked=payload(index, tag=f"t{index}")))
        bench.step({str(index): 5})
        bench.tracker.finish([str(index)])
        if index % 500 == 0:
            bench.drain()
    assert overflow_key("prompt") not in bench.drain()


def test_rows_beyond_the_bound_share_the_overflow_and_come_back(monkeypatch) -> None:
    monkeypatch.setattr(stats, "MAX_ROWS", 5)
    bench = Bench()
    for _ in range(2):
        bench.add("a", life(num_prompt=4, asked=payload(script="Latn")))
        run(bench, "a")
        bench.tracker.finish(["a"])
        sums = bench.drain()
    assert sum(group.tokens for group in sums.values()) == 2 * 10
    assert sum(group.selected_LE.sum() for group in sums.values()) == 2 * 10 * L * K
    overflow = [sums[overflow_key(phase)].tokens for phase in PHASES if overflow_key(phase) in sums]
    assert sum(overflow) > 0
    assert len(sums) - len(overflow) == 2, "five rows: one per phase for the overflow, two of their own"


def test_plans_and_tags_without_number_leave_room_for_another_script() -> None:
    bench = Bench()
    for index in range(2 * stats.NUM_GROUPS):
        bench.add(str(index), life(num_generated=0, asked=payload(index, tag=f"t{index}")))
        bench.tracker.finish([str(index)])
    bench.add("plain", life(num_generated=0, asked=payload(script="Deva")))
    bench.step({"plain": 5})
    assert bench.group_tokens() == {("Deva", "", "", "prompt"): 5}


def test_tokens_are_told_apart_by_their_own_script() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(script="Deva")))
    run(bench, "a", chunk=2)
    tokens = {(key.script, key.phase): group.tokens for key, group in bench.drain().items()}
    assert tokens == {
        ("Cyrl", "prompt"): 5,
        ("Latn", "answer"): 2,
        ("Zyyy", "answer"): 1,
        ("Cyrl", "reasoning"): 1,
        ("Zyyy", "reasoning"): 2,
    }


def test_prefix_cache_hits_are_counted_apart_by_script() -> None:
    bench = Bench()
    mine = life(num_prompt=9, asked=payload(script="Cyrl"))
    mine.tokens[:2] = [7, 9]
    bench.add("a", mine, num_cached=4)
    run(bench, "a")
    cached = {key.script: group.cached_tokens for key, group in bench.drain().items() if group.cached_tokens}
    assert cached == {"Latn": 1, "Zyyy": 1, "Cyrl": 2}
    assert bench.group_tokens()["Cyrl", "", "", "prompt"] == 5


def test_tokens_that_come_back_from_the_cache_after_preemption_are_no_cache_hits() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload()))
    bench.step({"a": 5})
    bench.tracker.pause(["a"])
    bench.lives["a"].computed = 4
    bench.resume("a")
    run(bench, "a")
    assert sum(group.cached_tokens for group in bench.drain().values()) == 0


def test_an_interval_is_given_again_until_it_is_acknowledged() -> None:
    bench = Bench()
    bench.add("a", life())
    bench.step({"a": 5})
    first = bench.tracker.drain_stats(0)
    bench.step({"a": 1})
    assert bench.tracker.drain_stats(0) == first
    second = decode_drain(bench.tracker.drain_stats(first["serial"]), bench.model)
    assert sum(group.tokens for group in second.groups or ()) == 1


TRACE = payload(trace=TraceOptions())


def read_trace(bench: Bench, key: str = TRACE.key) -> WorkerTrace:
    trace = decode_trace(bench.tracker.take_receipts([key])[key].to_wire()["traces"][0], bench.model)
    assert trace is not None
    return trace


def test_a_trace_holds_every_token_that_went_through_the_model() -> None:
    bench = Bench()
    mine = life(asked=TRACE)
    bench.add("a", mine)
    bench.add("other", life())
    selected = [bench.step({"other": 3, "a": 2})[:, 3:]]
    selected += [bench.step({"a": 3, "other": 2})[:, :3]]
    selected += [bench.step({"other": 1, "a": 1})[:, 1:] for _ in mine.tokens[5:]]
    bench.tracker.finish(["a"])
    trace = read_trace(bench)
    assert trace.token_ids.tolist() == mine.tokens
    assert [PHASES[phase] for phase in trace.phases] == [mine.phase(i) for i in range(11)]
    assert trace.computed.all()
    np.testing.assert_array_equal(trace.ids, torch.cat(selected, dim=1).transpose(0, 1).numpy())


def test_rows_of_the_prefix_cache_are_marked_and_hold_no_expert() -> None:
    bench = Bench()
    bench.add("a", life(num_prompt=9, asked=TRACE), num_cached=4)
    run(bench, "a")
    trace = read_trace(bench)
    assert trace.computed.tolist() == [False] * 4 + [True] * 11
    assert (trace.ids[:4] == 255).all()
    assert (trace.ids[4:] < E).all()
    assert trace.token_ids[:4].tolist() == [3] * 4


def test_rejected_drafts_are_not_in_the_trace() -> None:
    bench = Bench()
    mine = life(asked=TRACE)
    bench.add("a", mine)
    bench.step({"a": 5})
    truth = mine.tokens
    mine.tokens = [*truth[:6], 12, 12, *truth[8:]]
    bench.step({"a": 3}, rejected={"a": 2})
    mine.tokens = truth
    run(bench, "a")
    assert read_trace(bench).token_ids.tolist() == truth


def test_scores_are_the_router_s_own_and_runners_up_come_next() -> None:
    bench = Bench()
    bench.add("a", life(asked=payload(trace=TraceOptions(runner_up=True, probabilities=True))))
    run(bench, "a")
    trace = read_trace(bench)
    assert trace.probabilities is not None
    assert trace.runner_up is not None
    order = np.argsort(-trace.probabilities.astype(np.float64), axis=-1)
    np.testing.assert_array_equal(np.sort(trace.ids, axis=-1), np.sort(order[..., :K], axis=-1))
    np.testing.assert_array_equal(np.sort(trace.runner_up, axis=-1), np.sort(order[..., K : 2 * K], axis=-1))
    np.testing.assert_allclose(trace.probabilities.sum(axis=-1), 1, atol=5e-3)


def test_traces_beyond_the_bound_are_dropped_and_said_to_be(monkeypatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.tracker._recorder._traces, "_max_bytes", 12_000)
    bench.add("long", life(num_prompt=30, asked=payload(1, trace=TraceOptions(probabilities=True))))
    bench.add("short", life(asked=payload(2, trace=TraceOptions())))
    bench.step({"long": 30, "short": 5})
    bench.tracker.finish(["long", "short"])
    taken = bench.tracker.take_receipts([payload(1).key, payload(2).key])
    wires = [taken[payload(number).key].to_wire()["traces"][0] for number in (1, 2)]
    assert [decode_trace(wire, bench.model) is None for wire in wires] == [True, False]


def test_a_server_that_keeps_all_traces_gives_each_once() -> None:
    bench = Bench(keeps_traces=True)
    for name in "ab":
        bench.add(name, life(asked=payload(tag="t", script="Cyrl", request_id=f"req-{name}")))
        run(bench, name)
        bench.tracker.finish([name])
    first = bench.tracker.drain_traces(0)
    assert bench.tracker.drain_traces(0) == first
    drained = [decode_finished(wire, bench.model) for wire in first["traces"]]
    assert [one.request_id for one in drained] == ["req-a", "req-b"]
    assert all(one.trace is not None and len(one.trace.ids) == 11 for one in drained)
    assert bench.tracker.drain_traces(first["serial"])["traces"] == []
    assert not bench.tracker._recorder._traces._held


PAYLOADS = st.one_of(
    st.none(),
    st.builds(
        payload,
        edits=st.sampled_from([(), BAN]),
        strength=st.sampled_from([0.0, 1.0]),
        phases=st.lists(st.sampled_from(PHASES), min_size=1, unique=True).map(tuple),
        script=st.sampled_from(["Latn", "Cyrl"]),
        wants_summary=st.booleans(),
    ),
)


@settings(max_examples=40)
@given(data=st.data())
def test_any_mixture_of_lives_conserves_tokens_and_bans(data: st.DataObject) -> None:
    bench = Bench()
    waiting = []
    for index in range(8):
        asked = data.draw(PAYLOADS)
        mine = life(data.draw(st.integers(1, 9)), data.draw(st.integers(0, 8)), asked and keyed(asked, index))
        waiting.append(mine)
    names = iter(range(100))
    running: list[str] = []
    while waiting or running:
        while waiting and len(running) < MAX_REQS and (not running or data.draw(st.booleans())):
            name = str(next(names))
            bench.add(name, waiting.pop())
            running.append(name)
        chunks = {}
        for name in data.draw(st.permutations(running)):
            mine = bench.lives[name]
            left = (mine.prompt_len if mine.computed < mine.prompt_len else len(mine.tokens)) - mine.computed
            limit = left if mine.computed < mine.prompt_len else 1
            chunks[name] = data.draw(st.integers(1, limit))
        selected = bench.step(chunks)
        steered = bench.layers.notes.slot_T[: selected.shape[1]] != 0
        assert not (selected[1, steered] == 0).any()
        for name in list(running):
            if bench.lives[name].computed == len(bench.lives[name].tokens):
                bench.tracker.finish([name])
                running.remove(name)
    assert sum(bench.group_tokens().values()) == sum(len(mine.tokens) for mine in bench.lives.values())
    for mine in bench.lives.values():
        if mine.payload is not None and (mine.payload.is_steered or mine.payload.wants_summary):
            assert bench.tracker.take_receipts([mine.payload.key])[mine.payload.key].tokens_steered == mine.steered


def keyed(asked: SteeringPayload, index: int) -> SteeringPayload:
    return asked.model_copy(update={"key": f"{index:032x}"})
