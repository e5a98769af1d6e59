"""The tracker over whole lives of requests: slots by content, sums by group, receipts by request; without an engine."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from polyglyph.contract.model import RouterDescription
from polyglyph.contract.plan import Edit
from polyglyph.contract.steering import SteeringPayload
from polyglyph.kernels.annotate import MarkerAutomaton
from polyglyph.kernels.steer_route import SelectionRule
from polyglyph.routing.layers import RoutedLayers
from polyglyph.routing.tracker import RequestTracker, TrackerLimits

L, E, K = 2, 6, 2
OPEN, CLOSE = 1, 2
MAX_REQS, MAX_TOKENS = 4, 64
PHASES = ("prompt", "reasoning", "answer")
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
        for token in self.tokens[:position]:
            is_open = {OPEN: True, CLOSE: False}.get(token, is_open)
        return "reasoning" if is_open else "answer"

    @property
    def steered(self) -> int:
        if self.payload is None or not self.payload.is_steered:
            return 0
        return sum(self.counted[phase] for phase in self.payload.phases)


class Bench:
    """A tracker with made-up layers, driven as a model runner drives it."""

    def __init__(self, *, keeps_stats: bool = True) -> None:
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
            limits=TrackerLimits(max_num_reqs=MAX_REQS, ring_width=5),
            keeps_stats=keeps_stats,
            counts=True,
        )
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
        )
        selected = self.forward(len(ids))
        valid = [length - rejected.get(req_id, 0) for req_id, length in chunks.items()]
        self.tracker.end_step(torch.tensor(valid, dtype=torch.int32))
        for life, count in zip(lives, valid, strict=True):
            life.counted.update(life.phase(p) for p in range(life.computed, life.computed + count))
            life.computed += count
        return selected

    def forward(self, num_tokens: int) -> torch.Tensor:
        selected = []
        for layer in range(L):
            logits = torch.randn(num_tokens, E)
            weights, ids = logits.softmax(dim=-1).topk(K, dim=-1)
            _, ids = self.layers.route(layer, logits, weights, ids.int(), torch.zeros(num_tokens, 1))
            selected.append(ids)
        return torch.stack(selected)

    def group_tokens(self) -> dict[tuple[str, str, str, str], int]:
        wire: Any = self.tracker.read_stats()
        tokens = np.frombuffer(wire["tokens"], np.int64).reshape(-1, 3)
        return {
            (*key, phase): int(tokens[index, number])
            for index, key in enumerate(wire["keys"])
            for number, phase in enumerate(PHASES)
            if tokens[index, number]
        }


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
    bench.tracker.reset_stats()
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


def test_without_stats_only_receipts_are_kept() -> None:
    bench = Bench(keeps_stats=False)
    bench.add("a", life(asked=payload(edits=BAN, wants_summary=True)))
    bench.add("b", life())
    bench.step({"b": 5})
    bench.step({"a": 5, "b": 1})
    assert bench.group_tokens() == {}
    assert bench.tracker.take_receipts([payload().key])[payload().key].tokens_steered == 5


def test_groups_beyond_the_bound_share_the_overflow() -> None:
    bench = Bench()
    for index in range(300):
        bench.add(str(index), life(num_generated=0, asked=payload(index, tag=f"t{index}")))
        bench.step({str(index): 5})
        bench.tracker.finish([str(index)])
    wire: Any = bench.tracker.read_stats()
    tokens = np.frombuffer(wire["tokens"], np.int64).reshape(-1, 3)
    assert tokens.sum() == 300 * 5
    assert tokens[-1].sum() == (300 - 192) * 5


def test_plans_and_tags_without_number_leave_room_for_another_script() -> None:
    bench = Bench()
    for index in range(300):
        bench.add(str(index), life(num_generated=0, asked=payload(index, tag=f"t{index}")))
        bench.tracker.finish([str(index)])
    bench.add("plain", life(num_generated=0, asked=payload(script="Deva")))
    bench.step({"plain": 5})
    assert bench.group_tokens() == {("Deva", "", "", "prompt"): 5}


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


@settings(max_examples=40, deadline=None)
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
