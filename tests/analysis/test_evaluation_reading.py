"""Benchmarks are read whole or refused with file and line; halves share no entity."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.evaluation.benchmark import Header
from polyglyph.analysis.evaluation.errors import BenchmarkError
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reading import make_benchmark, read_benchmark, write_benchmark

HEADER = {"schema": "polyglyph.benchmark/1", "name": "rivers"}
SCRIPTS = ("Latn", "Cyrl", "Deva", "Hani")
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
items = st.builds(
    Item,
    id=text,
    entity=text,
    fact=text,
    task=st.just("arithmetic"),
    question=text,
    source_script=st.sampled_from(SCRIPTS),
    target_script=st.sampled_from(SCRIPTS),
    source_language=st.none() | text,
    answers=st.lists(text, min_size=1, max_size=3).map(tuple),
    candidates=st.lists(text, max_size=3).map(tuple),
    context=st.none() | text,
    entity_hint=st.none() | text,
    max_tokens=st.none() | st.integers(1, 2**40),
)
headers = st.builds(
    Header,
    name=st.just("rivers"),
    description=st.text(st.characters(exclude_categories=["Cs"])),
    thinking=st.dictionaries(text.map("x".__add__), st.none() | st.booleans() | text),
    seed=st.integers(0, 2**70),
)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "a",
        "entity": "Wolga",
        "fact": "mouth",
        "question": "Куда впадает Волга?",
        "source_script": "Latn",
        "target_script": "Cyrl",
        "answers": ["Каспийское море"],
    } | changes


def item(**changes: Any) -> Item:
    return Item.model_validate_json(json.dumps(row(**changes)))


def written(path: Path, *rows: Any) -> Path:
    path.write_bytes(b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows))
    return path


def refusal(path: Path, *rows: Any) -> str:
    with pytest.raises(BenchmarkError) as refused:
        read_benchmark(written(path / "rivers.jsonl", *rows))
    return str(refused.value)


@given(header=headers, drawn=st.lists(items, min_size=1, max_size=8, unique_by=lambda item: item.id))
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, header: Header, drawn: list[Item]
) -> None:
    path = tmp_path_factory.mktemp("benchmark") / "b.jsonl"
    benchmark = make_benchmark(header, drawn)
    write_benchmark(benchmark, path)
    assert read_benchmark(path) == benchmark
    assert list(path.parent.iterdir()) == [path]


@given(drawn=st.lists(items, min_size=1, max_size=30, unique_by=lambda item: item.id), seed=st.integers(0, 9))
def test_halves_share_no_entity_and_are_even_whatever_the_order(drawn: list[Item], seed: int) -> None:
    header = Header(name="rivers", seed=seed)
    halves = {item.id: item.half for item in make_benchmark(header, drawn).items}
    assert halves == {item.id: item.half for item in make_benchmark(header, drawn[::-1]).items}
    by_entity = {(item.entity, halves[item.id]) for item in drawn}
    assert len(by_entity) == len({item.entity for item in drawn})
    counts = Counter(half for _, half in by_entity)
    assert abs(counts["development"] - counts["test"]) <= 1


def test_each_source_script_has_its_entities_in_both_halves_evenly() -> None:
    drawn = [item(id=f"{s}{n}", entity=f"{s}{n}", source_script=s) for s in SCRIPTS for n in range(7)]
    halves = Counter((item.source_script, item.half) for item in make_benchmark(Header(name="x"), drawn).items)
    assert set(halves.values()) == {3, 4}


def test_another_seed_draws_other_halves() -> None:
    drawn = [item(id=f"{n}", entity=f"{n}") for n in range(40)]
    halves = [[item.half for item in make_benchmark(Header(name="x", seed=seed), drawn).items] for seed in (0, 1)]
    assert halves[0] != halves[1]


def test_an_items_own_half_is_its_entitys(tmp_path: Path) -> None:
    rows = [HEADER, row(half="test"), row(id="b"), *(row(id=f"{n}", entity=f"{n}") for n in range(8))]
    benchmark = read_benchmark(written(tmp_path / "b.jsonl", *rows))
    assert [item.half for item in benchmark.items[:2]] == ["test", "test"]


def test_blank_lines_and_a_byte_order_mark_are_no_items(tmp_path: Path) -> None:
    path = written(tmp_path / "b.jsonl", b"\xef\xbb\xbf\n", HEADER, b" \r\n", row(question="Где\u2028Волга?"), b"\n")
    assert len(read_benchmark(path).items) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "rivers.jsonl: empty"),
        ([b"\n\n"], "rivers.jsonl: empty"),
        ([HEADER], "rivers.jsonl: no items"),
        ([row()], "line 1: header."),
        ([HEADER | {"schema": "polyglyph.benchmark/2"}], "line 1: header.schema"),
        ([HEADER | {"scorer": "vibes"}, row()], "line 1: header.scorer"),
        ([HEADER | {"thinking": {"steering": "auto"}}, row()], "thinking.steering"),
        ([HEADER, row(answers=[])], "line 2: item.answers"),
        ([HEADER, row(answers=["\t"])], "line 2: answers: '\\t' is blank"),
        ([HEADER, row(), b"\n", row()], "line 4: the id 'a' is that of"),
        ([HEADER, row(answers=["Волга"])], "line 2: item: Value error, the answer 'Волга' appears in the question"),
        ([HEADER, row(hint="x")], "line 2: item.hint"),
        ([HEADER, row(source_script="latin")], "line 2: item.source_script"),
        ([HEADER, b'{"id": "a", "id": "b"}\n'], "line 2: expected a JSON object: the field 'id' is named 2 times"),
        ([HEADER, b"\xff\xfe\n"], "line 2: not UTF-8: byte 0 is 0xff"),
        ([HEADER, b"[1]\n"], "line 2: expected a JSON object, got list"),
        ([HEADER, b"{"], "line 2: expected a JSON object"),
        ([HEADER, b"[" * 100_000], "line 2: expected a JSON object"),
        ([HEADER, row(half="test"), row(id="b", half="development")], "an entity must be in one"),
    ],
)
def test_what_is_no_benchmark_is_refused_with_its_place(tmp_path: Path, rows: list[Any], words: str) -> None:
    assert words in refusal(tmp_path, *rows)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"rivers\.jsonl cannot be read: No such file"):
        read_benchmark(tmp_path / "rivers.jsonl")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    benchmark = make_benchmark(Header(name="x"), [item()])
    with pytest.raises(BenchmarkError, match="cannot be written"):
        write_benchmark(benchmark, tmp_path / "none" / "b.jsonl")
