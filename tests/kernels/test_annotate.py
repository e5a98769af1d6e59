"""Every token of every step is noted with its own request, position, phase and slot, whatever happened before.

The plain oracle reads whole token lists; the implementations see one step at a time. `triton` runs where its
interpreter was chosen before Triton was imported, or a GPU exists; `test_annotate_triton.py` sees to the former.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.kernels.annotate import (
    MarkerAutomaton,
    RequestRows,
    TokenNotes,
    annotate,
    seed_ring,
)
from tests.support.phases import phases_of

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not IS_INTERPRETED else "cpu"
IMPLEMENTATIONS = ["reference"]
IMPLEMENTATIONS += ["triton"] if IS_INTERPRETED or DEVICE == "cuda" else []
IMPLEMENTATIONS += ["cpu"] if DEVICE == "cpu" else []

NUM_DRAFTS = 3
RING_WIDTH = NUM_DRAFTS + 2
MAX_NUM_TOKENS = 48
NUM_ROWS = 6
VOCAB = 6
MARKERS = {
    "none": ([], []),
    "never closed": ([[1]], []),
    "single": ([[1]], [[2]]),
    "several": ([[1, 2, 3]], [[4, 5], [3, 3]]),
    "shared prefix": ([[1, 2, 3]], [[1, 2, 4]]),
    "one inside the other": ([[1, 2, 1]], [[2, 1], [2]]),
    "self-overlapping": ([[1, 1, 2]], [[1, 1]]),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request) -> Callable[..., None]:
    return import_module(f"polyglyph.kernels.annotate.{request.param}").annotate


@pytest.fixture(scope="module", params=MARKERS)
def markers(request):
    return MARKERS[request.param]


@settings(max_examples=8 if IS_INTERPRETED else 30)
@given(generator=st.randoms(use_true_random=False))
def test_notes_equal_the_oracle_over_whole_lifetimes(implementation, markers, generator):
    Engine(implementation, markers, generator).live(num_steps=15)


@pytest.mark.parametrize("break_it", ["wrong row", "wrong position", "forgotten resume", "shifted ids"])
def test_a_broken_kernel_is_noticed(implementation, break_it, monkeypatch):
    if break_it == "forgotten resume":
        monkeypatch.setitem(globals(), "seed_ring", lambda *_: None)
    broken = partial(BROKEN.get(break_it, call_plainly), implementation)
    with pytest.raises(AssertionError):
        Engine(broken, MARKERS["single"], random.Random(0)).live(num_steps=150)


def test_a_chunk_far_longer_than_the_ring_keeps_its_state(implementation):
    """A resumed request recomputes 700 generated tokens in one chunk, then goes on behind a rejected draft."""
    automaton = MarkerAutomaton.build([[1]], [[2]]).to(DEVICE)
    rows = RequestRows.allocate(3, ring_width=RING_WIDTH, device=DEVICE)
    notes = TokenNotes.allocate(1024, device=DEVICE)
    rows.prompt_len_P[2] = 300
    ids = torch.zeros(1024, dtype=torch.int32, device=DEVICE)
    ids[400], ids[990] = 1, 2
    on_device = partial(torch.tensor, dtype=torch.int32, device=DEVICE)
    step = partial(implementation, row_R=on_device([2]), rows=rows, automaton=automaton, out=notes)

    step(query_start_R1=on_device([0, 1000]), start_position_R=on_device([0]), input_ids_T=ids, num_tokens=1000)
    assert notes.phase_T.tolist() == [0] * 300 + [2] * 100 + [1] * 590 + [2] * 10 + [0] * 24
    step(query_start_R1=on_device([0, 1]), start_position_R=on_device([996]), input_ids_T=ids, num_tokens=1)
    assert notes.phase_T[:2].tolist() == [2, 0]


@pytest.mark.parametrize("num_requests", [0, 4])
def test_an_idle_step_is_neutral_everywhere(implementation, num_requests):
    engine = Engine(implementation, MARKERS["single"], random.Random(0))
    notes = engine.note([0] * num_requests, [0] * (num_requests + 1), [7] * num_requests, [], num_tokens=0)
    assert notes == [(0, 0, 0, 0)] * MAX_NUM_TOKENS


def test_tokens_of_the_neutral_row_are_unsteered_prompt(implementation):
    """A dummy run may schedule tokens for nobody."""
    engine = Engine(implementation, MARKERS["single"], random.Random(0))
    row_T, position_T, phase_T, slot_T = zip(*engine.note([0], [0, 4], [0], [1, 1, 1, 1], num_tokens=4), strict=True)
    assert not any(row_T + phase_T + slot_T)
    assert position_T[:5] == (0, 1, 2, 3, 0)


def test_tokens_beyond_the_stated_number_are_neutral(implementation):
    engine = Engine(implementation, MARKERS["single"], random.Random(0))
    engine.rows.slots_P3[1:] = 9
    notes = engine.note([1, 2], [0, 4, 8], [5, 5], [0] * 8, num_tokens=6)
    assert notes[5] == (2, 6, 2, 9)
    assert not any(any(note) for note in notes[6:])


def test_the_public_function_gives_the_oracle_s_notes():
    Engine(annotate, MARKERS["several"], random.Random(3)).live(num_steps=30)


@dataclass
class Request:
    """A request as the engine's scheduler sees it: what is known, and how much of it is computed and accepted."""

    row: int
    prompt_len: int
    tokens: list[int]
    slots: list[int]
    num_computed: int = 0
    chunk: list[int] = field(default_factory=list)


class Engine:
    """A fake engine that admits, schedules, drafts, rejects, preempts, resumes and finishes at random."""

    def __init__(self, implementation, markers, generator) -> None:
        self.implementation, self.markers, self.random = implementation, markers, generator
        self.host_automaton = MarkerAutomaton.build(*markers)
        self.automaton = self.host_automaton.to(DEVICE)
        self.rows = RequestRows.allocate(NUM_ROWS, ring_width=RING_WIDTH, device=DEVICE)
        self.notes = TokenNotes.allocate(MAX_NUM_TOKENS, device=DEVICE)
        self.running: list[Request] = []
        self.preempted: list[Request] = []

    def live(self, *, num_steps: int) -> None:
        for _ in range(num_steps):
            self.leave()
            self.admit()
            self.step()

    def leave(self) -> None:
        for request in list(self.running):
            event = self.random.randrange(8)
            if event < 2:
                self.running.remove(request)
            if event == 1:
                self.preempted.append(request)

    def admit(self) -> None:
        while self.free_rows() and self.random.randrange(3):
            request = self.preempted.pop() if self.preempted and self.random.randrange(2) else self.new_request()
            request.row = self.random.choice(self.free_rows())
            request.num_computed = self.random.randrange(len(request.tokens)) if self.random.randrange(2) else 0
            self.running.append(request)
            self.fill_row(request)

    def free_rows(self) -> list[int]:
        return sorted(set(range(1, NUM_ROWS)) - {request.row for request in self.running})

    def new_request(self) -> Request:
        prompt = self.draw_tokens(self.random.randint(1, 9))
        return Request(0, len(prompt), prompt, [self.random.randrange(100) for _ in range(3)])

    def draw_tokens(self, count: int) -> list[int]:
        return [self.random.randrange(VOCAB) for _ in range(count)]

    def fill_row(self, request: Request) -> None:
        row, known = request.row, request.tokens[: request.prompt_len]
        self.rows.prompt_len_P[row] = request.prompt_len
        self.rows.start_state_P[row] = self.host_automaton.run(known)
        self.rows.slots_P3[row] = torch.tensor(request.slots, dtype=torch.int32, device=DEVICE)
        if request.num_computed > request.prompt_len:
            before = self.host_automaton.run(request.tokens[: request.num_computed])
            seed_ring(self.rows, row, request.num_computed - 1, before)

    def step(self) -> None:
        batch = [request for request in self.running if self.random.randrange(4)]
        self.random.shuffle(batch)
        padding = self.random.randrange(3)
        bounds, budget = [0], MAX_NUM_TOKENS
        for request in batch:
            self.schedule(request, budget=budget)
            budget -= len(request.chunk)
            bounds.append(bounds[-1] + len(request.chunk))
        got = self.note(
            [request.row for request in batch] + [0] * padding,
            bounds + [bounds[-1]] * padding,
            [request.num_computed for request in batch] + [0] * padding,
            [token for request in batch for token in request.chunk],
            num_tokens=bounds[-1],
        )
        expected = [note for request in batch for note in self.oracle(request)]
        assert got == expected + [(0, 0, 0, 0)] * (MAX_NUM_TOKENS - len(expected))
        for request in batch:
            self.accept(request)

    def schedule(self, request: Request, *, budget: int) -> None:
        """Take some of the known tokens, and drafts behind the last of them."""
        known = request.tokens[request.num_computed :]
        request.chunk = known[: min(self.random.randint(1, len(known)), budget)]
        if len(request.chunk) == len(known):
            request.chunk += self.draw_tokens(min(self.random.randint(0, NUM_DRAFTS), budget - len(known)))

    def accept(self, request: Request) -> None:
        """Keep a random number of drafts and sample one more token, once all known tokens are computed."""
        num_known = len(request.tokens) - request.num_computed
        if len(request.chunk) < num_known:
            request.num_computed += len(request.chunk)
            return
        drafts = request.chunk[num_known:]
        accepted = drafts[: self.random.randint(0, len(drafts))]
        request.num_computed += num_known + len(accepted)
        request.tokens += accepted + self.draw_tokens(1)

    def note(self, row_R, query_start_R1, start_R, ids, *, num_tokens: int) -> list[tuple[int, int, int, int]]:
        """Run one step into notes full of rubbish, behind ids full of padding, and give all notes token by token."""
        outputs = (self.notes.row_T, self.notes.position_T, self.notes.phase_T, self.notes.slot_T)
        for note_T in outputs:
            note_T.fill_(-77)
        on_device = partial(torch.tensor, dtype=torch.int32, device=DEVICE)
        padding = [self.random.choice([-1, 1, 2]) for _ in range(MAX_NUM_TOKENS - len(ids))]
        self.implementation(
            row_R=on_device(row_R),
            query_start_R1=on_device(query_start_R1),
            start_position_R=on_device(start_R),
            input_ids_T=on_device(ids + padding),
            num_tokens=num_tokens,
            rows=self.rows,
            automaton=self.automaton,
            out=self.notes,
        )
        return list(zip(*(note_T.tolist() for note_T in outputs), strict=True))

    def oracle(self, request: Request) -> list[tuple[int, int, int, int]]:
        text = request.tokens[: request.num_computed] + request.chunk
        phases = phases_of(text, request.prompt_len, *self.markers)
        notes = [(request.row, position, phase, request.slots[phase]) for position, phase in enumerate(phases)]
        return notes[request.num_computed :]


def call_plainly(implementation, **step) -> None:
    implementation(**step)


def call_with_the_next_row(implementation, **step) -> None:
    implementation(**{**step, "row_R": (step["row_R"] + 1) % NUM_ROWS})


def call_with_the_next_position(implementation, **step) -> None:
    implementation(**{**step, "start_position_R": step["start_position_R"] + 1})


def call_with_shifted_ids(implementation, **step) -> None:
    implementation(**{**step, "input_ids_T": step["input_ids_T"].roll(1)})


BROKEN = {
    "wrong row": call_with_the_next_row,
    "wrong position": call_with_the_next_position,
    "shifted ids": call_with_shifted_ids,
}
