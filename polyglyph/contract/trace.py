"""The trace: what happened token by token in one sequence (design section 8).

Letters: n tokens that went through the model, L MoE layers, K selected experts, E experts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from polyglyph.contract.base import Document
from polyglyph.contract.plan import PHASES

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PER_TOKEN = {"token_ids": "int32", "phases": "uint8", "steered": "bool", "computed": "bool"}


class TraceHeader(Document):
    """What a file of traces is of.

    Args of note:
        layers: L.
        experts: E.
        top_k: K; a layer that selects fewer leaves the rest of its row empty.
        versions: Releases that numbers depend on.
        run: The server's run that wrote the file.
    """

    schema_: Literal["polyglyph.trace/1"] = Field(default="polyglyph.trace/1", alias="schema")
    model_fingerprint: str
    layers: Annotated[int, Field(ge=1)]
    experts: Annotated[int, Field(ge=1)]
    top_k: Annotated[int, Field(ge=1)]
    versions: dict[str, str]
    run: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class SequenceTrace:
    """One sequence, by position: the prompt and what was generated, the last sampled token excluded.

    Attributes:
        request_id: The request's id, as in its response.
        sequence: Which of the request's sequences (choices times prompts), from 0.
        tag: The request's tag, or empty.
        plan: Fingerprint of the plan in force, empty for unsteered requests.
        request_script: Dominant script of the user's text.
        scripts: ISO 15924 code of each of the n tokens.
        token_ids: int32 [n]; -1 where the prompt came as embeddings.
        phases: uint8 [n], index into `PHASES`.
        steered: bool [n], edits were in force.
        computed: bool [n]; False for tokens served from the prefix cache.
        ids: uint8 or uint16 [n, L, K], selected experts; the dtype's largest value where unknown and past a layer's k.
        weights: float16 [n, L, K], or None.
        runner_up: As `ids`, the experts that would have come next, or None.
        probabilities: float16 [n, L, E], the routers' scores before any edit, or None.

    Raises:
        ValueError: Two arrays disagree in length, or one has another dtype or shape than stated.
    """

    request_id: str
    sequence: int = 0
    tag: str = ""
    plan: str = ""
    request_script: str
    scripts: tuple[str, ...]
    token_ids: "Array"
    phases: "Array"
    steered: "Array"
    computed: "Array"
    ids: "Array"
    weights: "Array | None" = None
    runner_up: "Array | None" = None
    probabilities: "Array | None" = None

    def __post_init__(self) -> None:
        shape = self.ids.shape
        if self.ids.ndim != 3 or str(self.ids.dtype) not in {"uint8", "uint16"}:
            raise ValueError(f"ids: expected uint8 or uint16 [tokens, layers, k], got {self.ids.dtype} {shape}")
        if len(self.scripts) != shape[0]:
            raise ValueError(f"scripts: expected {shape[0]}, one per token, got {len(self.scripts)}")
        for name, dtype in _PER_TOKEN.items():
            _check(name, getattr(self, name), dtype=dtype, shape=shape[:1])
        _check("runner_up", self.runner_up, dtype=str(self.ids.dtype), shape=shape)
        _check("weights", self.weights, dtype="float16", shape=shape)
        num_scores = shape[2] if self.probabilities is None else self.probabilities.shape[-1]
        _check("probabilities", self.probabilities, dtype="float16", shape=(*shape[:2], num_scores))
        if len(self.phases) and int(self.phases.max()) >= len(PHASES):
            raise ValueError(f"phases: expected 0 to {len(PHASES) - 1}, got {self.phases.max()}")

    def check_model(self, header: TraceHeader) -> None:
        """Refuse a trace of another shape of model.

        Raises:
            ValueError: Layers, k or experts differ; the text has both.
        """
        expected = (header.layers, header.top_k)
        if self.ids.shape[1:] != expected:
            raise ValueError(f"ids: expected [tokens, {expected[0]}, {expected[1]}], got {self.ids.shape}")
        if self.probabilities is not None and self.probabilities.shape[2] != header.experts:
            raise ValueError(f"probabilities: expected {header.experts} experts, got {self.probabilities.shape[2]}")

    @property
    def num_tokens(self) -> int:
        """Number of tokens, n."""
        return len(self.token_ids)

    @property
    def num_rows(self) -> int:
        """Number of (token, layer) pairs."""
        return int(self.ids.shape[0] * self.ids.shape[1])

    @property
    def num_bytes(self) -> int:
        """Memory of the arrays."""
        arrays = [self.token_ids, self.phases, self.steered, self.computed, self.ids]
        optional = [array for array in (self.weights, self.runner_up, self.probabilities) if array is not None]
        # A script is a pointer to one of a few strings.
        return sum(array.nbytes for array in (*arrays, *optional)) + 8 * len(self.scripts)


def _check(name: str, array: "Array | None", *, dtype: str, shape: tuple[int, ...]) -> None:
    if array is not None and (str(array.dtype) != dtype or array.shape != shape):
        raise ValueError(f"{name}: expected {dtype} {shape}, got {array.dtype} {array.shape}")
