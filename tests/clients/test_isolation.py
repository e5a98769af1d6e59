"""How isolation is judged: by the outputs that unsteered batches gave, and by their own deviation."""

import pytest

from polyglyph.clients.verify.isolation import Comparison, judge
from polyglyph.clients.verify.line import NotCheckedError
from polyglyph.clients.verify.sample import Sample


def sample(*logprobs):
    tokens = tuple(f"token_id:{index}" for index in range(len(logprobs)))
    top = tuple(((token, logprob), ("token_id:99", -9.0)) for token, logprob in zip(tokens, logprobs, strict=True))
    return Sample(tokens=tokens, logprobs=logprobs, top_logprobs=top)


def comparison(baseline, mixed, *, effect=1.0):
    return Comparison(
        baseline=tuple((sample(value),) for value in baseline),
        mixed=tuple((sample(value),) for value in mixed),
        effect=effect,
    )


def test_an_exact_baseline_forgives_nothing():
    assert judge(comparison([-1.0, -1.0], [-1.0, -1.0])).fault is None
    assert judge(comparison([-1.0, -1.0], [-1.0, -1.0 - 1e-12])).fault


def test_an_output_that_the_baseline_gave_once_passes():
    assert judge(comparison([-1.0, -1.1], [-1.1, -1.0])).fault is None


def test_an_output_within_the_baselines_own_deviation_passes():
    assert judge(comparison([-1.0, -1.01], [-1.005])).fault is None


def test_an_output_far_beyond_the_baselines_deviation_fails():
    assert judge(comparison([-1.0, -1.01], [-1.5])).fault


def test_a_baseline_as_loose_as_steering_says_nothing():
    with pytest.raises(NotCheckedError, match="batch-invariant"):
        judge(comparison([-1.0, -1.5], [-1.2]))


def test_steering_without_an_effect_says_nothing():
    with pytest.raises(NotCheckedError, match="changes nothing"):
        judge(comparison([-1.0, -1.0], [-1.0], effect=0.0))


def test_samples_are_compared_up_to_the_first_token_that_differs():
    mine = Sample(
        tokens=("a", "b", "x"),
        logprobs=(-1.0, -2.0, -3.0),
        top_logprobs=((("a", -1.0),), (("b", -2.0), ("c", -2.1)), (("x", -3.0),)),
    )
    other = Sample(
        tokens=("a", "c", "y"),
        logprobs=(-1.0, -2.0, -9.0),
        top_logprobs=((("a", -1.0),), (("c", -2.0), ("b", -2.1)), (("x", -9.0),)),
    )
    assert mine.deviation(other) == pytest.approx(0.1)
    assert mine.difference(other) == "token 1 is b instead of c"
    assert not mine.equals(other)


def test_a_token_that_only_one_side_lists_counts_with_what_is_certain():
    mine = Sample(tokens=("a",), logprobs=(-0.1,), top_logprobs=((("a", -0.1), ("b", -3.0)),))
    other = Sample(tokens=("c",), logprobs=(-0.2,), top_logprobs=((("c", -0.2), ("d", -2.0)),))
    assert mine.deviation(other) == pytest.approx(2.8)
