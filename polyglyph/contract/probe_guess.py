"""The guess from routing: a linear classifier over which experts an unsteered pass over the prompt selects.

Letters of shapes: L MoE layers of the guess, E experts of a layer.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from polyglyph.contract.base import Document, ScriptCode
from polyglyph.contract.model import ModelBinding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WEIGHTS = 1_000_000
"""Largest number of weights of one probe, all classifiers together."""

Coefficient = Annotated[float, Field(ge=-1e6, le=1e6)]
LayerWeights = Annotated[tuple[Coefficient, ...], Field(min_length=1, max_length=4096, strict=False)]
ScriptWeights = Annotated[tuple[LayerWeights, ...], Field(min_length=1, max_length=512, strict=False)]


class Classifier(Document):
    """A linear classifier of source scripts, a row for each.

    Attributes:
        weights: By script, layer and expert.
        bias: By script.
    """

    weights: Annotated[tuple[ScriptWeights, ...], Field(min_length=2, max_length=64, strict=False)]
    bias: Annotated[tuple[Coefficient, ...], Field(min_length=2, max_length=64, strict=False)]

    @property
    def num_weights(self) -> int:
        """Numbers in `weights`."""
        return sum(len(layer) for script in self.weights for layer in script)

    @cached_property
    def matrix(self) -> "NDArray[np.float64]":
        """Give the weights as float64 [scripts, L * E]."""
        import numpy as np

        return np.array(self.weights, dtype=np.float64).reshape(len(self.weights), -1)


class ProbeGuess(Document):
    """Guesses from which experts an unsteered pass over the prompt selects.

    Features are the shares of each layer's selections over all tokens of the prompt (`selection_shares`), flattened,
    the layers in the order of `layers`. The script with the largest probability (softmax) is guessed when that reaches
    `threshold`. Means and scales of a training are part of weights and bias.

    Attributes:
        model: The model it was fitted on; its selections mean nothing in another.
        scripts: What can be guessed, in the order of the classifiers' rows; the query's own may be among them.
        layers: MoE layers that are looked at.
        threshold: Probability below which there is no guess.
        classifier: Of every query script that has none of its own; None where only those of `by_query` are probed.
        by_query: Classifiers by query script.
    """

    kind: Literal["probe"]
    model: ModelBinding
    scripts: Annotated[tuple[ScriptCode, ...], Field(min_length=2, max_length=64, strict=False)]
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=512, strict=False)]
    threshold: float = Field(default=0.0, ge=0.0, le=1.0)
    classifier: Classifier | None = None
    by_query: dict[ScriptCode, Classifier] | None = Field(default=None, min_length=1, max_length=64)

    @model_validator(mode="after")
    def _check_sizes(self) -> "ProbeGuess":
        for name in ("scripts", "layers"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"'{name}' names one twice")
        classifiers = self.classifiers()
        if not classifiers:
            raise ValueError("a probe needs 'classifier', 'by_query', or both")
        if max(self.layers) >= self.model.layers:
            raise ValueError(
                f"the model has MoE layers 0 to {self.model.layers - 1}, 'layers' names {max(self.layers)}"
            )
        expected = (len(self.scripts), len(self.layers), self.model.experts)
        for path, classifier in classifiers.items():
            _check_classifier(classifier, path=path, expected=expected)
        if sum(classifier.num_weights for classifier in classifiers.values()) > MAX_WEIGHTS:
            raise ValueError(f"a probe has at most {MAX_WEIGHTS:,} weights")
        return self

    def classifiers(self) -> dict[str, Classifier]:
        """Give every classifier by its field path."""
        named = {f"by_query.{script}": classifier for script, classifier in (self.by_query or {}).items()}
        return named | ({"classifier": self.classifier} if self.classifier else {})

    def classifier_of(self, query_script: str) -> Classifier | None:
        """Give the classifier for questions in a script; None where they are not probed."""
        return (self.by_query or {}).get(query_script, self.classifier)

    def source_of(self, selected_LE: "NDArray[np.integer[Any]]", *, query_script: str) -> str | None:
        """Guess the source script.

        Args:
            selected_LE: How often each expert was selected in the prompt, in every MoE layer of the model.
            query_script: Script of the question.

        Returns:
            A script; None when the classifier is not sure enough, or there is none.

        Raises:
            ValueError: The counts are of another model, or a layer has no selection.
        """
        classifier = self.classifier_of(query_script)
        if classifier is None:
            return None
        if selected_LE.shape != (self.model.layers, self.model.experts):
            raise ValueError(f"counts of {self.model.layers} layers and {self.model.experts} experts were expected")
        probabilities = source_probabilities(classifier, selection_shares(selected_LE[list(self.layers)]))
        best = int(probabilities.argmax())
        return self.scripts[best] if probabilities[best] >= self.threshold else None

    def sources(self) -> frozenset[str]:
        """Give every script that can be guessed."""
        return frozenset(self.scripts)


def selection_shares(selected_LE: "NDArray[np.integer[Any]]") -> "NDArray[np.float64]":
    """Give each expert's share of its layer's selections: the features of a probe.

    Args:
        selected_LE: Counts, 0 or more, unchanged.

    Returns:
        float64 [L, E]; every layer adds up to 1.

    Raises:
        ValueError: A layer without a selection: nothing went through the model.
    """
    import numpy as np

    totals_L1 = selected_LE.sum(axis=1, keepdims=True, dtype=np.float64)
    if not (totals_L1 > 0).all():
        raise ValueError("no token of the prompt was counted")
    shares: NDArray[np.float64] = selected_LE / totals_L1
    return shares


def source_probabilities(classifier: Classifier, shares_LE: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Give the probability of each script: the softmax of weights times shares plus bias, float64 [scripts].

    Raises:
        ValueError: The classifier was made for another number of layers or experts.
    """
    import numpy as np

    expected = (len(classifier.weights[0]), len(classifier.weights[0][0]))
    if shares_LE.shape != expected:
        raise ValueError(f"the classifier has {expected} layers and experts, the shares {shares_LE.shape}")
    logits = classifier.matrix @ shares_LE.reshape(-1) + np.array(classifier.bias)
    scores = np.exp(logits - logits.max())
    probabilities: NDArray[np.float64] = scores / scores.sum()
    return probabilities


def _check_classifier(classifier: Classifier, *, path: str, expected: tuple[int, int, int]) -> None:
    num_scripts, num_layers, num_experts = expected
    if len(classifier.bias) != num_scripts:
        raise ValueError(f"'{path}.bias' has {len(classifier.bias)} numbers for {num_scripts} scripts")
    if len(classifier.weights) != num_scripts:
        raise ValueError(f"'{path}.weights' has {len(classifier.weights)} rows for {num_scripts} scripts")
    for index, script in enumerate(classifier.weights):
        if len(script) != num_layers:
            raise ValueError(f"'{path}.weights[{index}]' has {len(script)} layers, 'layers' has {num_layers}")
        if any(len(layer) != num_experts for layer in script):
            raise ValueError(f"'{path}.weights[{index}]' has layers without {num_experts} experts, which the model has")
