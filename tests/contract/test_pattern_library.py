"""Pattern libraries: which pattern is nearest, and which libraries are refused."""

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from polyglyph.contract.errors import RequestError
from polyglyph.contract.policy import Policy, PolicyTarget, parse_policy

L, E = 4, 3
MODEL = {"architecture": "Some", "layers": L, "experts": E, "top_k": 1, "fingerprint": "sha256:" + "a" * 64}
LEFT, RIGHT = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]
LIBRARY = {
    "model": MODEL,
    "layers": [2, 0],
    "min_similarity": 0.9,
    "library": [
        {"name": "left", "shares": LEFT, "plan": "to-left", "strength": 2.0, "phases": ["answer"]},
        {"name": "right", "shares": RIGHT},
    ],
}


def policy(**change: Any) -> Policy:
    return parse_policy({"patterns": LIBRARY | change})


def pattern(**change: Any) -> dict[str, Any]:
    return {"library": [LIBRARY["library"][0] | change]}


def selected(*shares: list[float]) -> np.ndarray:
    """Give counts whose layers 2 and 0 have these shares; the others are none of the library's."""
    counts = np.full((L, E), 7, np.int32)
    counts[2], counts[0] = (np.array(layer) * 10 for layer in shares)
    return counts


def test_the_nearest_pattern_is_found_whatever_the_number_of_tokens() -> None:
    library = policy().patterns
    assert library is not None
    for times in (1, 1000):
        match = library.nearest(selected(*LEFT) * times)
        assert match.pattern is not None
        assert (match.pattern.name, match.similarity) == ("left", pytest.approx(1.0))
    found = library.nearest(selected(*RIGHT)).pattern
    assert found is not None
    assert found.name == "right"


def test_a_nearest_pattern_that_is_not_near_enough_is_none_with_its_cosine() -> None:
    library = policy().patterns
    assert library is not None
    between = [[0.6, 0.0, 0.4], [0.2, 0.5, 0.3]]
    match = library.nearest(selected(*between))
    expected = np.dot(np.ravel(between), np.ravel(LEFT)) / (np.linalg.norm(between) * np.linalg.norm(LEFT))
    assert match.pattern is None
    assert match.similarity == pytest.approx(expected)


@given(arrays(np.int32, (L, E), elements=st.integers(0, 1000)))
def test_every_routing_has_a_nearest_pattern_or_none_was_counted(counts: np.ndarray) -> None:
    library = policy(min_similarity=0.0).patterns
    assert library is not None
    if not counts[[2, 0]].sum(axis=1).all():
        with pytest.raises(ValueError, match="no token"):
            library.nearest(counts)
        return
    match = library.nearest(counts)
    assert match.pattern is not None
    assert 0.0 <= match.similarity <= 1.0


def test_counts_of_another_model_are_refused() -> None:
    library = policy().patterns
    assert library is not None
    with pytest.raises(ValueError, match="4 layers and 3 experts"):
        library.nearest(np.ones((L, E + 1), np.int32))


def test_a_pattern_gives_its_plan_or_no_steering() -> None:
    both = policy()
    assert both.patterns is not None
    left, right = both.patterns.library
    assert both.choose_by_pattern(left).target == PolicyTarget(plan="to-left", strength=2.0, phases=("answer",))
    assert (both.choose_by_pattern(right).target, both.choose_by_pattern(right).reason) == (None, "no_plan_for_pattern")
    assert list(both.targets()) == ["patterns.library[0]"]


def test_a_policy_with_patterns_survives_being_written_and_read() -> None:
    assert parse_policy(json.loads(json.dumps(policy().to_json()))) == policy()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"layers": [2, 2]}, "patterns"),
        ({"layers": [2, 4]}, "patterns"),
        ({"layers": [2]}, "patterns"),
        ({"layers": []}, "patterns.layers"),
        ({"min_similarity": 1.1}, "patterns.min_similarity"),
        ({"library": []}, "patterns.library"),
        ({"library": [LIBRARY["library"][0]] * 2}, "patterns"),
        ({"surprise": 1}, "patterns.surprise"),
        (pattern(name="../up"), "patterns.library[0].name"),
        (pattern(shares=[LEFT[0]]), "patterns"),
        (pattern(shares=[[0.5, 0.5], [0.5, 0.5]]), "patterns"),
        (pattern(shares=[LEFT[0], [0.5, 0.5]]), "patterns"),
        (pattern(shares=[LEFT[0], [0.5, 0.6, 0.0]]), "patterns.library[0]"),
        (pattern(shares=[LEFT[0], [1.5, -0.5, 0.0]]), "patterns.library[0].shares[1][0]"),
        (pattern(shares=[LEFT[0], [float("nan"), 1.0, 0.0]]), "patterns.library[0].shares[1][0]"),
        (pattern(strength=17.0), "patterns.library[0].strength"),
        (pattern(plan=None), "patterns.library[0]"),
    ],
)
def test_a_library_that_could_not_be_followed_is_refused_with_its_path(change: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refusal:
        policy(**change)
    assert refusal.value.param == f"policy.{param}"


def test_a_library_has_at_most_a_million_shares() -> None:
    layers, experts = 512, 1024
    model = MODEL | {"layers": layers, "experts": experts}
    shares = [[1.0] + [0.0] * (experts - 1)] * layers
    library = [{"name": name, "shares": shares} for name in ("a", "b")]
    with pytest.raises(RequestError, match="1,000,000"):
        parse_policy({"patterns": {"model": model, "layers": list(range(layers)), "library": library}})
