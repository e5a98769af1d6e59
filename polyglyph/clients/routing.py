"""What a response tells of its routing, decoded: the request's sums, and its sequences token by token as arrays.

Letters: n tokens that went through the model, L MoE layers that were asked for, K selected experts, E experts.
"""

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from polyglyph.contract.readout import Readout
from polyglyph.contract.routing import ArrayDocument, RoutingEcho, RoutingSummary, RoutingTokens

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """One sequence: the prompt and what was generated, the last sampled token excluded.

    Every attribute but `layers` has one row per token, so that `trace.ids[trace.scripts == "Cyrl"]` are the experts
    of the Cyrillic tokens.

    Attributes:
        layers: MoE layers of the arrays' second axis.
        token_ids: int64 [n]; -1 where the prompt came as embeddings.
        scripts: str [n], ISO 15924.
        phases: str [n], `prompt`, `reasoning` or `answer`.
        computed: bool [n]; False for tokens served from the prefix cache, whose experts are not known.
        steered: bool [n], edits were in force.
        ids: uint8 or uint16 [n, L, K], selected experts; the dtype's largest value where there is none.
        weights: float16 [n, L, K], their routing weights, or None.
        runner_up: As `ids`, the experts that would have come next, or None.
        probabilities: float16 [n, L, E], the routers' scores before any edit, or None.
    """

    layers: tuple[int, ...]
    token_ids: "Array"
    scripts: "Array"
    phases: "Array"
    computed: "Array"
    steered: "Array"
    ids: "Array"
    weights: "Array | None" = None
    runner_up: "Array | None" = None
    probabilities: "Array | None" = None

    @classmethod
    def decoded(cls, tokens: RoutingTokens) -> Self:
        """Decode a sequence of a response.

        Raises:
            ValueError: An array is damaged, or has another shape than the sequence.
        """
        import numpy as np

        trace = cls(
            layers=tokens.layers,
            token_ids=np.array(tokens.token_ids, np.int64),
            scripts=np.array(tokens.scripts, np.str_),
            phases=np.array(tokens.phases, np.str_),
            computed=np.array(tokens.computed, np.bool_),
            steered=np.array(tokens.steered, np.bool_),
            ids=tokens.ids.to_numpy(),
            weights=_optional(tokens.weights),
            runner_up=_optional(tokens.runner_up),
            probabilities=_optional(tokens.probabilities),
        )
        trace._check(tokens.num_tokens)
        return trace

    def __len__(self) -> int:
        """Give n."""
        return len(self.ids)

    @property
    def none(self) -> int:
        """What `ids` and `runner_up` hold where there is no expert: their dtype's largest value."""
        import numpy as np

        return int(np.iinfo(self.ids.dtype).max)

    def selected(self, num_experts: int, *, where: "Array | None" = None) -> "Array":
        """Count how often each expert was selected.

        Args:
            num_experts: E.
            where: bool [n], which tokens to count; all unless named. Rows that were not computed never count.

        Returns:
            int64 [L, E].
        """
        import numpy as np

        rows_NLK = self.ids if where is None else self.ids[where]
        counts_LE = np.zeros((len(self.layers), num_experts), np.int64)
        for layer in range(len(self.layers)):
            chosen = rows_NLK[:, layer].ravel()
            counts_LE[layer] = np.bincount(chosen[chosen < num_experts], minlength=num_experts)
        return counts_LE

    def _check(self, num_tokens: int) -> None:
        if self.ids.ndim != 3:
            raise ValueError(f"'ids' has shape {self.ids.shape}, expected tokens, layers and experts per token")
        for name, column in vars(self).items():
            if name == "layers" or column is None:
                continue
            expected = (num_tokens, len(self.layers))[: column.ndim]
            if column.shape[:2] != expected:
                raise ValueError(f"'{name}' has shape {column.shape}, expected {expected} at its beginning")


@dataclass(frozen=True, eq=False, kw_only=True)
class Routing:
    """The `routing` field of a response.

    Attributes:
        summary: The request's own sums, when asked for.
        sequences: Its sequences (choices times prompts) in the order of the choices; empty when not asked for.
        routed_experts: vLLM's encoding, decoded: uint8 or uint16 [tokens, hidden layers, K] of each sequence. Of a
            response with choices it stands in these.
        readouts: Expert sets that were read out, by name; empty when not asked for.
        tag: The request's tag.
    """

    summary: RoutingSummary | None = None
    sequences: tuple[Trace, ...] = ()
    routed_experts: "tuple[Array, ...]" = ()
    readouts: Mapping[str, Readout] = field(default_factory=dict)
    tag: str | None = None

    @classmethod
    def decoded(cls, echo: RoutingEcho) -> Self:
        """Decode a response's field.

        Raises:
            ValueError: An array is damaged.
        """
        sequences = echo.sequences or ((echo.tokens,) if echo.tokens else ())
        return cls(
            summary=echo.summary,
            sequences=tuple(Trace.decoded(tokens) for tokens in sequences),
            routed_experts=tuple(decode_routed_experts(text) for text in echo.routed_experts or ()),
            readouts=echo.readouts or {},
            tag=echo.tag,
        )

    @property
    def tokens(self) -> Trace | None:
        """The request's one sequence; None when there are none or several."""
        return self.sequences[0] if len(self.sequences) == 1 else None


def decode_routed_experts(text: str) -> "Array":
    """Decode vLLM's `routed_experts`: base64 of an `.npy` file; nothing is unpickled.

    Raises:
        ValueError: It is none.
    """
    import numpy as np

    try:
        array: Array = np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
    except (binascii.Error, EOFError) as error:
        raise ValueError(f"expected base64 of an array's file, got {text!r:.60}") from error
    return array


def _optional(array: ArrayDocument | None) -> "Array | None":
    return None if array is None else array.to_numpy()
