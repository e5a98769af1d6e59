import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.organism.score import Score, paired_difference, score


@pytest.mark.parametrize(
    ("right", "asked", "interval"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (5, 10, (0.2366, 0.7634)), (960, 960, (0.9960, 1.0))],
)
def test_wilson_intervals_equal_published_values(right: int, asked: int, interval: tuple[float, float]):
    assert Score(right, asked).interval == pytest.approx(interval, abs=1e-4)


@given(outcomes=st.lists(st.booleans(), min_size=1))
def test_the_rate_lies_in_its_interval(outcomes: list[bool]):
    result = score(outcomes)
    low, high = result.interval
    assert 0 <= low <= result.rate <= high <= 1


@given(outcomes=st.lists(st.booleans(), min_size=1))
def test_equal_outcomes_differ_by_nothing_for_certain(outcomes: list[bool]):
    names = [str(index // 2) for index in range(len(outcomes))]
    assert paired_difference(outcomes, outcomes, names, seed=0) == (0.0, (0.0, 0.0))


def test_the_interval_is_wider_when_questions_hang_together():
    treated, control = [True] * 30 + [False] * 30, [False] * 60
    _, alone = paired_difference(treated, control, [str(i) for i in range(60)], seed=0)
    _, together = paired_difference(treated, control, [str(i // 10) for i in range(60)], seed=0)
    assert together[1] - together[0] > alone[1] - alone[0]
