"""Every token of every step is labelled from itself and what came before it, however the steps are cut.

The plain reference reads whole sequences; the implementations see one step at a time.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.kernels.label_scripts import EMPTY, LabelRows, LabelTable, reference, run, seed
from polyglyph.kernels.label_scripts import label_scripts as chosen
from tests.support import script_tokens
from tests.support.script_tokens import FIRST_WORD, WORDS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
IMPLEMENTATIONS = ["reference", "parallel", *(["cpu"] if DEVICE == "cpu" else [])]
NUM_ROWS = 6
MAX_NUM_TOKENS = 64
UNWRITTEN = 251


@pytest.fixture(scope="module")
def table() -> LabelTable:
    return script_tokens.label_table()


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request) -> Callable[..., None]:
    return import_module(f"polyglyph.kernels.label_scripts.{request.param}").label_scripts


@settings(max_examples=25)
@given(generator=st.randoms(use_true_random=False))
def test_labels_equal_those_of_the_whole_sequence_over_whole_lifetimes(implementation, table, generator):
    Engine(implementation, table, generator).live(num_steps=12)


@pytest.mark.parametrize("break_it", ["wrong row", "shifted ids", "drafts kept", "state forgotten"])
def test_a_broken_kernel_is_noticed(implementation, table, break_it):
    broken = partial(BROKEN[break_it], implementation)
    with pytest.raises(AssertionError):
        Engine(broken, table, random.Random(0)).live(num_steps=150)


@settings(max_examples=60)
@given(generator=st.randoms(use_true_random=False), cut=st.integers(0, 40))
def test_a_run_on_the_host_goes_on_where_another_ended(table, generator, cut):
    ids = np.array(script_tokens.stream(generator, 40))
    whole, end = reference.run(table, ids)
    first, state = run(table, ids[:cut])
    second, after = run(table, ids[cut:], state)
    assert [*first, *second] == whole.tolist()
    assert after == end


@pytest.mark.parametrize(
    "word",
    [
        "Привет",
        "नमस्ते",
        "你好",
        "こんにちは",
        "カタカナ",
        "한국어",
        "ภาษา",
        "שלום",
        "مرحبا",
        "ⴰⵎⴰⵣⵉⵖ",
        "Հայ",
        "𞤀𞤣",
        "ខ្មែរ",
    ],
)
def test_in_a_text_of_single_bytes_only_the_first_character_after_a_switch_of_script_may_be_wrong(table, word):
    text = f"Hello {word}, {word}"
    first, after = len("Hello "), len(f"Hello {word[0]}".encode())
    differing = np.flatnonzero(
        script_tokens.labeller().exact(list(text.encode())) != run(table, list(text.encode()))[0]
    )
    assert all(first <= index < after - 1 for index in differing)


def of_bytes(table: LabelTable, text: bytes) -> list[str]:
    labels, _ = run(table, list(text))
    return [table.scripts[label] for label in labels]


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("Привет".encode(), ["Cyrl"] * 12),
        ("é".encode(), ["Latn"] * 2),
        ("a\u0301".encode(), ["Latn"] * 3),
        ("б\u0301".encode(), ["Cyrl"] * 4),
        ("1\u0301".encode(), ["Zyyy"] * 3),
        ("你".encode(), ["Hani"] * 3),
        ("“a”".encode(), ["Zyyy"] * 3 + ["Latn"] + ["Zyyy"] * 3),
        ("カー".encode(), ["Zyyy", "Zyyy", "Kana", "Kana", "Kana", "Kana"]),
        (b"\xd0 \xd0", ["Cyrl", "Zyyy", "Cyrl"]),
        (b"\x80\xff\xc0", ["Zyyy"] * 3),
        (b"\xed\xa0\x80", ["Hang", "Zyyy", "Zyyy"]),
        (b"", []),
    ],
)
def test_single_bytes_have_the_script_of_their_character(table, text, scripts):
    found = of_bytes(table, text)
    # The first two bytes of a text's first kana could be Han's as well.
    assert found == scripts or (text.startswith("カ".encode()) and found[2:] == scripts[2:])


def test_the_script_of_the_text_decides_about_a_lead_byte_that_many_share(table):
    assert of_bytes(table, "ភាសា".encode())[3] == "Khmr"
    assert of_bytes(table, "ภภ".encode())[3] == "Thai"
    assert of_bytes(table, "ⴰⵣ".encode())[3:] == ["Tfng"] * 3
    assert of_bytes(table, "Հայերեն".encode())[2:] == ["Armn"] * 12


def test_a_break_parts_what_stands_around_it(table):
    hole, mark, base = table.num_tokens - 1, FIRST_WORD + WORDS.index("\u0301"), FIRST_WORD
    labels, _ = run(table, [base, mark, hole, mark, base, -1, mark])
    assert [table.scripts[label] for label in labels] == ["Latn", "Latn", "Zyyy", "Zyyy", "Latn", "Zyyy", "Zyyy"]
    labels, _ = run(table, [0xD0, hole, 0xBF])
    assert labels.tolist()[1:] == [0, 0]


def test_a_token_that_ends_one_character_and_begins_another_has_the_script_of_the_former(table):
    tokens = script_tokens.token_bytes()
    joined = tokens.index("а".encode()[1:] + "日".encode()[:1])
    assert [table.scripts[label] for label in run(table, [0xD0, joined, 0x97, 0xA5])[0]] == [
        "Cyrl",
        "Cyrl",
        "Hani",
        "Hani",
    ]


@pytest.mark.parametrize("num_requests", [0, 4])
def test_an_idle_step_changes_nothing(implementation, table, num_requests):
    engine = Engine(implementation, table, random.Random(0))
    engine.rows.state_P[2] = 99
    labels = engine.label([0] * num_requests, [0] * (num_requests + 1), [0] * num_requests, [], num_tokens=0)
    assert set(labels) == {UNWRITTEN}
    assert engine.rows.state_P.tolist() == [0, 0, 99, 0, 0, 0]


def test_tokens_of_the_neutral_row_have_no_script_and_leave_it_empty(implementation, table):
    engine = Engine(implementation, table, random.Random(0))
    assert engine.label([0], [0, 3], [3], [FIRST_WORD] * 3, num_tokens=3)[:3] == [0, 0, 0]
    assert engine.rows.state_P.tolist() == [EMPTY] * NUM_ROWS


def test_a_request_padded_behind_the_step_is_not_touched(implementation, table):
    """Graphs run with more requests than are scheduled: neutral rows whose bounds lie behind the tokens."""
    engine = Engine(implementation, table, random.Random(0))
    labels = engine.label([3, 0, 0], [0, 2, 2, 9], [2, 0, 0], [FIRST_WORD, 0xD0, 5, 5, 5, 5, 5, 5, 5], num_tokens=2)
    assert [table.scripts[label] for label in labels[:2]] == ["Latn", "Cyrl"]
    assert set(labels[2:]) == {UNWRITTEN}


def test_a_step_whose_tokens_are_all_rejected_leaves_the_state(implementation, table):
    engine = Engine(implementation, table, random.Random(0))
    seed(engine.rows, 4, run(table, [0xE4, 0xBD])[1])
    before = engine.rows.state_P.tolist()
    engine.label([4], [0, 2], [0], [0xA0, FIRST_WORD], num_tokens=2)
    assert engine.rows.state_P.tolist() == before


def test_more_rows_keep_the_states_of_the_first(table):
    rows = LabelRows.allocate(3)
    seed(rows, 2, 77)
    assert rows.grown(5).state_P.tolist() == [0, 0, 77, 0, 0]


def test_the_chosen_implementation_labels(table):
    Engine(chosen, table, random.Random(1)).live(num_steps=5)


def test_int64_ids_and_positions_are_taken_too(implementation, table):
    out = torch.zeros(2, dtype=torch.uint8)
    implementation(
        row_R=torch.tensor([1]),
        query_start_R1=torch.tensor([0, 2]),
        num_valid_R=torch.tensor([2], dtype=torch.int32),
        input_ids_T=torch.tensor([0xD0, 0xBF]),
        num_tokens=2,
        rows=LabelRows.allocate(2),
        table=table,
        out_T=out,
    )
    assert [table.scripts[label] for label in out] == ["Cyrl", "Cyrl"]


@dataclass
class Request:
    """A request: its row, its tokens, and how many of them were computed."""

    row: int
    ids: list[int]
    num_computed: int = 0


@dataclass
class Engine:
    """Schedules random chunks of random requests, rejects drafts, preempts, and compares with the whole sequence."""

    implementation: Callable[..., None]
    table: LabelTable
    generator: random.Random
    running: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = LabelRows.allocate(NUM_ROWS, device=DEVICE)
        self.on_device = self.table.to(DEVICE)

    def live(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.admit()
            self.preempt()
            self.step()

    def admit(self) -> None:
        free = sorted({*range(1, NUM_ROWS)} - {request.row for request in self.running})
        if free and self.generator.random() < 0.6:
            request = Request(self.generator.choice(free), script_tokens.stream(self.generator, 30))
            request.num_computed = self.generator.choice([0, 0, 5])  # a hit in the prefix cache
            self.resume(request)
            self.running.append(request)

    def preempt(self) -> None:
        for request in self.running:
            if self.generator.random() < 0.05:
                request.num_computed = self.generator.randrange(request.num_computed + 1)
                self.resume(request)

    def resume(self, request: Request) -> None:
        seed(self.rows, request.row, run(self.table, request.ids[: request.num_computed])[1])

    def step(self) -> None:
        scheduled = [request for request in self.running if self.generator.random() < 0.7]
        self.generator.shuffle(scheduled)
        chunks, num_valid = [], []
        for request in scheduled:
            chunk = request.ids[request.num_computed :][: self.generator.randrange(1, 6)]
            num_drafts = self.generator.choice([0, 0, 2])
            chunks.append(chunk + script_tokens.stream(self.generator, num_drafts))
            num_valid.append(len(chunk))
        starts = np.cumsum([0, *map(len, chunks)]).tolist()
        ids = [token for chunk in chunks for token in chunk]
        labels = self.label([request.row for request in scheduled], starts, num_valid, ids, num_tokens=len(ids))
        for request, start, count in zip(scheduled, starts, num_valid, strict=False):
            expected, _ = reference.run(self.table, np.array(request.ids, dtype=np.int64))
            before, request.num_computed = request.num_computed, request.num_computed + count
            assert labels[start : start + count] == expected[before : request.num_computed].tolist()
        self.running = [request for request in self.running if request.num_computed < len(request.ids)]

    def label(
        self, row_R: list[int], starts: list[int], num_valid: list[int], ids: list[int], *, num_tokens: int
    ) -> list[int]:
        on_device = partial(torch.tensor, dtype=torch.int32, device=DEVICE)
        out_T = torch.full((MAX_NUM_TOKENS,), UNWRITTEN, dtype=torch.uint8, device=DEVICE)
        self.implementation(
            row_R=on_device(row_R),
            query_start_R1=on_device(starts),
            num_valid_R=on_device(num_valid),
            input_ids_T=on_device(ids + [FIRST_WORD] * (MAX_NUM_TOKENS - len(ids))),
            num_tokens=num_tokens,
            rows=self.rows,
            table=self.on_device,
            out_T=out_T,
        )
        return out_T.tolist()


def call_with_the_wrong_row(implementation: Callable[..., None], *, row_R: Any, **rest: Any) -> None:
    implementation(row_R=row_R.roll(1), **rest)


def call_with_shifted_ids(implementation: Callable[..., None], *, input_ids_T: Any, **rest: Any) -> None:
    implementation(input_ids_T=input_ids_T.roll(1), **rest)


def call_keeping_drafts(implementation: Callable[..., None], *, num_valid_R: Any, **rest: Any) -> None:
    implementation(num_valid_R=num_valid_R + MAX_NUM_TOKENS, **rest)


def call_forgetting_the_state(implementation: Callable[..., None], *, rows: LabelRows, **rest: Any) -> None:
    implementation(rows=LabelRows.allocate(NUM_ROWS, device=rows.state_P.device), **rest)


BROKEN = {
    "wrong row": call_with_the_wrong_row,
    "shifted ids": call_with_shifted_ids,
    "drafts kept": call_keeping_drafts,
    "state forgotten": call_forgetting_the_state,
}
