"""Pattern libraries from labelled prompts."""

from typing import Any

import numpy as np
import pytest

from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.patterns import library_of, retrieve_held_out
from polyglyph.contract.errors import RequestError
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.policy import PolicyTarget, parse_policy

L, E, K = 4, 8, 2
MODEL = ModelBinding(architecture="Some", layers=L, experts=E, top_k=K, fingerprint="sha256:" + "a" * 64)
PLANS = {"sums": PolicyTarget(plan="careful", strength=2.0, phases=("answer",))}


def prompts(num: int, favourite: int, *, seed: int = 0, pull: float = 2.0) -> np.ndarray:
    """Give counts of prompts that lean towards one expert in the first two layers, int64 [num, L, E]."""
    drawn = np.random.default_rng(seed)
    logits = np.zeros((L, E))
    logits[:2, favourite] = pull
    counts = np.zeros((num, L, E), np.int64)
    for prompt in range(num):
        for _ in range(20):
            chosen = np.argsort(-(logits + drawn.gumbel(size=(L, E))), axis=1)[:, :K]
            np.add.at(counts[prompt], (np.arange(L)[:, None], chosen), 1)
    return counts


def test_a_library_holds_each_kinds_shares_and_is_one_that_a_server_takes() -> None:
    sums, chat = prompts(5, 1), prompts(5, 6)
    counts = {"sums": sums.sum(axis=0), "chat": chat.sum(axis=0)}
    library = library_of(counts, model=MODEL, layers=[1, 0], plans=PLANS, min_similarity=0.8)
    assert [(pattern.name, pattern.plan) for pattern in library.library] == [("chat", None), ("sums", "careful")]
    expected = sums.sum(axis=0)[[1, 0]] / sums.sum(axis=(0, 2))[[1, 0], None]
    np.testing.assert_allclose(library.library[1].shares, expected, atol=1e-6)
    policy = parse_policy({"patterns": library.model_dump(mode="json", exclude_none=True)})
    assert policy.patterns == library
    match = library.nearest(sums[0])
    assert match.pattern is not None
    assert match.pattern.name == "sums"


def test_retrieval_is_measured_on_items_that_the_library_has_not_seen() -> None:
    counts = np.concatenate([prompts(20, 1), prompts(20, 6, seed=1)])
    kinds = ["sums"] * 20 + ["chat"] * 20
    items = [f"{index % 10}" for index in range(40)]
    found = retrieve_held_out(counts, kinds, items, layers=[0, 1])
    assert found.right.rate > 0.9
    assert len(found.similarity_N) == found.right.num_asked == 40
    by_hand = []
    for prompt in range(40):
        kept = [index for index in range(40) if items[index] != items[prompt]]
        sums = {kind: counts[[at for at in kept if kinds[at] == kind]].sum(axis=0) for kind in set(kinds)}
        match = library_of(sums, model=MODEL, layers=[0, 1], plans={}).nearest(counts[prompt])
        assert match.pattern is not None
        assert match.similarity == pytest.approx(found.similarity_N[prompt], abs=1e-6)
        by_hand.append(match.pattern.name == kinds[prompt])
    assert by_hand == found.is_right_N.tolist()


def test_kinds_that_route_alike_are_told_apart_by_chance_only() -> None:
    counts = prompts(60, 1)
    found = retrieve_held_out(counts, ["a", "b"] * 30, [str(index) for index in range(60)], layers=[0, 1])
    low, high = found.right.interval
    assert low < 0.5 < high or found.right.rate < 0.5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"plans": {"nope": PolicyTarget(plan="a")}}, "'nope'"),
        ({"layers": [4]}, "0 to 3, got 4"),
        ({"layers": [-1]}, "0 to 3, got -1"),
        ({"selected_by_kind": {"a": np.zeros((L, E), np.int64)}}, "'a' has a layer without a selection"),
    ],
)
def test_a_library_of_nothing_is_refused(change: dict[str, Any], text: str) -> None:
    arguments = {"selected_by_kind": {"sums": prompts(2, 1).sum(axis=0)}, "layers": [0], "plans": {}} | change
    with pytest.raises(RuleError, match=text):
        library_of(**arguments, model=MODEL)


def test_a_name_that_no_server_takes_is_refused() -> None:
    with pytest.raises(RequestError, match=r"patterns\.library\[0\]\.name"):
        library_of({"two words": prompts(1, 1)[0]}, model=MODEL, layers=[0], plans={})


@pytest.mark.parametrize(
    ("kinds", "items", "text"), [(["a", "a"], ["1", "2"], "two at least"), (["a", "b"], ["1", "2"], "one item only")]
)
def test_what_cannot_be_held_out_is_refused(kinds: list[str], items: list[str], text: str) -> None:
    with pytest.raises(RuleError, match=text):
        retrieve_held_out(prompts(2, 1), kinds, items, layers=[0])
