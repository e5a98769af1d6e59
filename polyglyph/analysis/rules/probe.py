"""The rule `probe`: which experts an unsteered pass over the prompt selects tells where the answer was learned.

Letters of shapes: N examples, C source scripts, F features (MoE layers x experts).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.example import Example
from polyglyph.analysis.rules.rule import FirstPass, Seen
from polyglyph.analysis.statistics.multinomial import fit_multinomial
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Plan
from polyglyph.contract.probe_guess import Classifier, ProbeGuess, selection_shares

PENALTIES = (0.1, 1.0, 10.0)
"""Weights of the squared coefficients that are tried."""
LEAST_EXAMPLES = 40
"""Examples of a query script from which on it has a classifier of its own."""
COEFFICIENT_DECIMALS = 5
SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class ProbeRule:
    """Guesses by the classifier that a server's policy takes, number for number.

    Attributes:
        classifier: Of the model's selections in the prompt.
        name: Of the rule.
    """

    classifier: ProbeGuess
    name: str = "probe"

    @property
    def first_pass(self) -> FirstPass | None:
        """One token, with the routing of the prompt."""
        return FirstPass(max_tokens=1, wants_routing=True)

    @property
    def plans(self) -> Mapping[Pair, Plan]:
        """Empty: it chooses among the plans it is given."""
        return {}

    def guess(self, question: str, *, query_script: str, seen: Seen | None = None) -> str | None:
        """Guess from the prompt's routing; see `Rule.guess`.

        Raises:
            RuleError: The first pass did not show it, or it is another model's.
        """
        del question
        if seen is None or seen.selected_LE is None:
            raise RuleError("the rule 'probe' needs a first pass with the routing of the prompt, and there was none")
        try:
            return self.classifier.source_of(seen.selected_LE, query_script=query_script)
        except ValueError as error:
            raise RuleError(f"the rule 'probe' cannot read this routing: {error}") from error


def fit_probe(examples: Sequence[Example], *, model: ModelBinding, penalty: float = 1.0) -> ProbeRule:
    """Fit a multinomial logistic regression on the shares of each layer's selections.

    Args:
        examples: With what a first pass showed of each. A query script with enough of them gets a classifier of its
            own; one of all query scripts together serves the rest.
        model: Whose selections they are.
        penalty: Weight of the squared coefficients, of standardised features.

    Raises:
        RuleError: There are fewer than two source scripts, or a first pass is missing.
    """
    scripts = sorted({example.source_script for example in examples})
    if len(scripts) < 2:
        raise RuleError(f"a probe tells source scripts apart, and the examples have {len(scripts)}")
    shares_NF = np.stack([_shares(example) for example in examples])
    target_N = np.array([scripts.index(example.source_script) for example in examples])
    query_N = np.array([example.query_script for example in examples])

    def fit(chosen_N: NDArray[np.bool_]) -> Classifier:
        return _classifier(shares_NF[chosen_N], target_N[chosen_N], len(scripts), model=model, penalty=penalty)

    counts = Counter(example.query_script for example in examples)
    own = [script for script, count in sorted(counts.items()) if count >= LEAST_EXAMPLES]
    guess = ProbeGuess(
        kind="probe",
        model=model,
        scripts=tuple(scripts),
        layers=tuple(range(model.layers)),
        classifier=fit(np.ones(len(examples), dtype=bool)),
        by_query={script: fit(query_N == script) for script in own} or None,
    )
    return ProbeRule(guess)


def _shares(example: Example) -> NDArray[np.float64]:
    if example.seen is None or example.seen.selected_LE is None:
        raise RuleError(f"the probe cannot learn from {example.question!r}: its first pass showed no routing")
    return selection_shares(example.seen.selected_LE).reshape(-1)


def _classifier(
    shares_NF: NDArray[np.float64],
    target_N: NDArray[np.int64],
    num_scripts: int,
    *,
    model: ModelBinding,
    penalty: float,
) -> Classifier:
    """Fit standardised features, and fold means and scales into weights and bias."""
    mean_F, scale_F = shares_NF.mean(axis=0), np.maximum(shares_NF.std(axis=0), SMALLEST_SCALE)
    # A feature that never varied tells nothing, and dividing by next to nothing would blow up what varies later.
    scale_F = np.where(shares_NF.std(axis=0) > SMALLEST_SCALE, scale_F, 1.0)
    weights_CF, bias_C = fit_multinomial((shares_NF - mean_F) / scale_F, target_N, num_scripts, penalty=penalty)
    weights_CF = weights_CF / scale_F
    bias_C = bias_C - weights_CF @ mean_F
    shape = (num_scripts, model.layers, model.experts)
    return Classifier.model_validate(
        {
            "weights": np.round(weights_CF, COEFFICIENT_DECIMALS).reshape(shape).tolist(),
            "bias": np.round(bias_C, COEFFICIENT_DECIMALS).tolist(),
        }
    )
