"""Figures of reproductions: what an arm keeps, loses and has over its random controls."""

import numpy as np
import pytest

from polyglyph.analysis.reproduction.areas import Areas
from polyglyph.analysis.reproduction.lines import arms_table, lines_of, parts_table
from polyglyph.analysis.reproduction.mote import worst
from polyglyph.analysis.reproduction.part import Part
from polyglyph.analysis.reproduction.record import Reproduced, record_of
from polyglyph.analysis.statistics.figure import Estimate, Missing
from tests.analysis.reproduction_world import measured
from tests.analysis.test_reproduction_verdict import PAPER, threshold

NONE = [1, 1, 1, 1, 0, 0, 1, 1]
METHOD = [1, 1, 0, 0, 1, 0, 0, 0]
RANDOM = ([1, 1, 1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0, 1, 1])


def test_kept_is_accuracy_over_accuracy_and_lost_only_what_was_right():
    result = measured(NONE, METHOD, *RANDOM)
    shares = result.right("method", "facts")
    assert result.kept(shares, "facts").value == pytest.approx(3 / 6)
    assert result.lost(shares, "facts").value == pytest.approx(4 / 6)
    assert result.gain("method", "facts").value == pytest.approx(-3 / 8)


def test_random_controls_count_by_their_mean():
    result = measured(NONE, METHOD, *RANDOM)
    mean = result.random("matched", "facts")
    assert result.lost(mean, "facts").value == pytest.approx(1 / 6)
    over = result.lost_over(result.right("method", "facts"), mean, "facts")
    assert over.value == pytest.approx(4 / 6 - 1 / 6)
    assert over.low < over.value < over.high


def test_a_control_that_does_not_exist_leaves_a_reason_and_no_number():
    result = measured(NONE, METHOD)
    assert result.random("matched", "facts") is None
    assert isinstance(result.lost(None, "facts"), Missing)
    assert isinstance(result.over(result.right("method", "facts"), None, "facts"), Missing)


def test_nothing_right_without_steering_leaves_nothing_to_keep():
    result = measured([0] * 8, METHOD)
    assert isinstance(result.kept(result.right("method", "facts"), "facts"), Missing)


def test_the_worst_of_other_tasks_is_what_counts():
    figures = [Estimate(0.99, (0.9, 1.0)), Estimate(0.5, (0.4, 0.6))]
    assert worst(figures).value == 0.5
    assert isinstance(worst([*figures, Missing("why")]), Missing)


def test_areas_are_paired_and_a_readout_has_nothing_over_itself():
    sides = np.array([True, False] * 20)
    perfect, noise = sides.astype(float), np.random.default_rng(0).normal(size=40)
    areas = Areas(sides, [str(index // 2) for index in range(40)], seed=0)
    assert areas.area(perfect) == Estimate(1.0, (1.0, 1.0))
    assert areas.over(noise, [noise, noise]) == Estimate(0.0, (0.0, 0.0))
    assert areas.over(perfect, [noise]).is_above_zero
    assert isinstance(Areas(np.ones(4, dtype=bool), list("abcd"), seed=0).area(np.arange(4.0)), Missing)


def test_tables_and_lines_say_figures_and_reasons():
    result = measured(NONE, METHOD, *RANDOM)
    figures = {"figure": result.kept(result.right("method", "facts"), "facts")}
    parts = [
        Part(name="whole", thresholds=(threshold("at least", 0.97),), figures=figures),
        Part(
            name="rest",
            thresholds=(threshold("at least", 0.97),),
            figures={"figure": Missing("why")},
            decides=False,
            note="noted",
        ),
    ]
    record = record_of("made", Reproduced(paper=PAPER, parts=parts, arms={"run": result.to_json()}), {})
    assert "| whole | figure 0.500 [" in parts_table(record)
    assert "| rest (noted) | figure cannot be computed: why | not judged, beside |  |  |" in parts_table(record)
    header, _, row = arms_table(record).splitlines()
    assert header == "| right answers | none | method | matched random |"
    assert row.startswith("| run: facts | 6 of 8, 75.0 % [")
    assert row.endswith("| 62.5 % (62.5 to 62.5, 2 draws) |")
    assert next(iter(lines_of(record))) == "made: not reached; better than random: not judged"
