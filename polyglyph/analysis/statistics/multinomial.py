"""Multinomial logistic regression with a penalty on squared weights, by L-BFGS.

Letters of shapes: N examples, C classes, F features.
"""

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 300
"""Of the optimiser: on classes that can be separated it would go on for the last digits of a probability."""

Array = NDArray[np.float64]


def fit_multinomial(
    features_NF: Array, target_N: NDArray[np.int64], num_classes: int, *, penalty: float
) -> tuple[Array, Array]:
    """Minimise cross entropy plus half the penalty times the squared weights; the bias is free.

    Args:
        features_NF: Finite, best standardised.
        target_N: Class of each example, from 0.
        num_classes: C.
        penalty: Above 0.

    Returns:
        Weights [C, F] and biases [C].
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    num_features = features_NF.shape[1]
    aim_NC = np.eye(num_classes)[target_N]

    def loss(flat: Array) -> tuple[float, Array]:
        parameters_CF = flat.reshape(num_classes, num_features + 1)
        weights_CF, bias_C = parameters_CF[:, :-1], parameters_CF[:, -1]
        logits_NC = features_NF @ weights_CF.T + bias_C
        logs_NC = logits_NC - logsumexp(logits_NC, axis=1, keepdims=True)
        error_NC = np.exp(logs_NC) - aim_NC
        slope_CF = np.concatenate(
            [error_NC.T @ features_NF + penalty * weights_CF, error_NC.sum(axis=0)[:, None]], axis=1
        )
        return float(-(aim_NC * logs_NC).sum() + penalty / 2 * (weights_CF**2).sum()), slope_CF.reshape(-1)

    found = minimize(
        loss,
        np.zeros(num_classes * (num_features + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS},
    )
    parameters_CF = found.x.reshape(num_classes, num_features + 1)
    return parameters_CF[:, :-1], parameters_CF[:, -1]
