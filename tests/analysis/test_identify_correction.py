"""The correction for the number of experts: copies of one expert are one hypothesis."""

import numpy as np

from polyglyph.analysis.identification.correction import corrected
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg

LAYERS, EXPERTS = 4, 16


def world(*, copied):
    rng = np.random.default_rng(0)
    statistic = rng.normal(size=(LAYERS, EXPERTS))
    p = rng.uniform(size=(LAYERS, EXPERTS))
    if copied:
        statistic[1:3] = statistic[0] + 0.01 * rng.normal(size=(2, EXPERTS))
        p[1:3] = p[0]
    return p, statistic


def test_without_copies_every_expert_is_a_hypothesis():
    p, statistic = world(copied=False)
    q, number, notes = corrected(p, statistic, looks_for_copies=True, seed=0)
    np.testing.assert_array_equal(q, benjamini_hochberg(p))
    assert number == LAYERS * EXPERTS and notes == ()


def test_copies_of_an_expert_are_one_hypothesis_and_named():
    p, statistic = world(copied=True)
    q, number, notes = corrected(p, statistic, looks_for_copies=True, seed=0)
    assert number == 2 * EXPERTS and "layers 0, 1, 2" in notes[0]
    np.testing.assert_array_equal(q[0], q[1])
    np.testing.assert_allclose(q[[0, 3]], benjamini_hochberg(p[[0, 3]]))


def test_copies_are_looked_for_only_when_asked():
    p, statistic = world(copied=True)
    assert corrected(p, statistic, looks_for_copies=False, seed=0).num_hypotheses == LAYERS * EXPERTS


def test_experts_that_are_not_tested_are_no_hypotheses():
    p, statistic = world(copied=True)
    p[3], p[:, 0] = np.nan, np.nan
    q, number, _ = corrected(p, statistic, looks_for_copies=True, seed=0)
    assert number == EXPERTS - 1 and np.isnan(q[3]).all() and np.isnan(q[:, 0]).all()
