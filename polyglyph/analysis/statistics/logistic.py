"""Logistic regression of many weightings of the same patterns at once, for the bootstrap.

Letters of shapes: P patterns, K terms, R weightings.
"""

import numpy as np
from numpy.typing import NDArray

MAX_STEPS = 30
TOLERANCE = 1e-8
LARGEST = 20.0
"""A log odds ratio beyond this is separation on its way to infinity."""

Array = NDArray[np.float64]


def fit_weighted(patterns_PK: Array, right_RP: Array, asked_RP: Array) -> Array:
    """Find the maximum likelihood of each weighting by Newton's method.

    Args:
        patterns_PK: Covariates of each pattern, intercept included.
        right_RP: Right answers of each pattern in each weighting.
        asked_RP: Answers.

    Returns:
        Coefficients [R, K]; NaN where there is no finite maximum.
    """
    beta_RK = np.zeros((len(right_RP), patterns_PK.shape[1]))
    is_done_R = np.zeros(len(right_RP), dtype=bool)
    outer_PKK = patterns_PK[:, :, None] * patterns_PK[:, None, :]
    for _ in range(MAX_STEPS):
        step_RK = _newton_step(beta_RK, patterns_PK, outer_PKK, right_RP, asked_RP)
        # From zero a full step may overshoot where shares are extreme.
        step_RK = np.clip(step_RK, -2.0, 2.0)
        beta_RK += step_RK
        is_done_R = np.abs(step_RK).max(axis=1) < TOLERANCE
        if is_done_R.all() or np.abs(beta_RK[~is_done_R]).max(axis=1).min() > LARGEST:
            break
    beta_RK[~is_done_R | ~(np.abs(beta_RK).max(axis=1) <= LARGEST)] = np.nan
    return beta_RK


def has_converged(beta_K: Array) -> bool:
    """Tell whether a row of `fit_weighted` is a maximum."""
    return bool(np.isfinite(beta_K).all())


def _newton_step(beta_RK: Array, patterns_PK: Array, outer_PKK: Array, right_RP: Array, asked_RP: Array) -> Array:
    share_RP = 1.0 / (1.0 + np.exp(-np.clip(beta_RK @ patterns_PK.T, -40.0, 40.0)))
    gradient_RK = (right_RP - asked_RP * share_RP) @ patterns_PK
    curvature_RP = asked_RP * share_RP * (1.0 - share_RP)
    size = patterns_PK.shape[1]
    hessian_RKK = (curvature_RP @ outer_PKK.reshape(len(patterns_PK), -1)).reshape(-1, size, size)
    # A weighting without any answer of a term has a singular Hessian; it then runs away and is given up.
    hessian_RKK += 1e-9 * np.eye(size)
    return np.asarray(np.linalg.solve(hessian_RKK, gradient_RK[:, :, None])[:, :, 0])
