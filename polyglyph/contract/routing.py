"""The `routing` field of requests and responses (design section 4)."""

import base64
import io
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from polyglyph.contract.base import Document, as_request_error
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import PHASES, PLAN_NAME_PATTERN, Phase, PhaseSet
from polyglyph.contract.readout import Readout

if TYPE_CHECKING:
    import numpy as np

TAG_PATTERN = r"^[A-Za-z0-9._:-]{0,64}$"


def _refuse_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("an expert set is named twice")
    return names


SetNames = Annotated[
    tuple[Annotated[str, Field(pattern=PLAN_NAME_PATTERN)], ...],
    Field(min_length=1, max_length=64, strict=False),
    AfterValidator(_refuse_twice),
]


class RoutingRequest(Document):
    """A request's `routing` field.

    Args of note:
        return_: What to give back; `summary` are the request's own sums, `tokens` its routing token by token,
            `readouts` how much of it went to expert sets.
        weights: Give sums of routing weights, and each token's weights, beside the experts.
        layers: MoE layers to give, all when absent.
        tag: Label that groups this request's tokens in the stats.
        runner_up: Give each token's next k experts too.
        probabilities: Give each token's router scores of all experts too, as they were before any edit.
        format: How `tokens` come: ours, or as vLLM's own `routed_experts` of each choice.
        readouts: Expert sets to read out; when absent, all of the loaded model that are no guards.
    """

    return_: Annotated[tuple[Literal["summary", "tokens", "readouts"], ...], Field(alias="return", strict=False)] = ()
    weights: bool = False
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)] | None = None
    tag: str = Field(default="", pattern=TAG_PATTERN)
    runner_up: bool = False
    probabilities: bool = False
    format: Literal["polyglyph", "vllm"] = "polyglyph"
    readouts: SetNames | None = None

    @property
    def wants_tokens(self) -> bool:
        """Whether the request is to be traced."""
        return "tokens" in self.return_

    @property
    def wants_readouts(self) -> bool:
        """Whether expert sets are to be read out."""
        return "readouts" in self.return_

    @property
    def wants_sums(self) -> bool:
        """Whether the request's own sums are needed."""
        return self.wants_readouts or "summary" in self.return_


def parse_routing(value: Any, *, num_layers: int, root: str = "routing") -> RoutingRequest:
    """Read a request's `routing` field.

    Raises:
        RequestError: `param` names the field path.
    """
    try:
        request = RoutingRequest.model_validate(value)
    except ValidationError as error:
        raise as_request_error(error, root=root) from error
    for index, layer in enumerate(request.layers or ()):
        if layer >= num_layers:
            raise RequestError(
                f"{root}.layers[{index}]: the model has MoE layers 0 to {num_layers - 1}, got {layer}",
                param=f"{root}.layers[{index}]",
            )
    _refuse_without_effect(request, root=root)
    return request


def _refuse_without_effect(request: RoutingRequest, *, root: str) -> None:
    """An option that would change nothing is an error."""
    if not {"summary", "tokens"} & set(request.return_) and (request.weights or request.layers is not None):
        raise RequestError(
            f"{root}.return: 'weights' and 'layers' shape a summary or tokens; ask for one, as in "
            '"return": ["summary"]',
            param=f"{root}.return",
        )
    if request.readouts is not None and not request.wants_readouts:
        raise RequestError(
            f'{root}.readouts: names what is read out; ask for it: "return": ["readouts"]', param=f"{root}.readouts"
        )
    options = {
        "runner_up": request.runner_up,
        "probabilities": request.probabilities,
        "format": request.format != "polyglyph",
    }
    for name, is_set in options.items():
        if is_set and not request.wants_tokens:
            raise RequestError(
                f'{root}.{name}: shapes the tokens that are returned; ask for them: "return": ["tokens"]',
                param=f"{root}.{name}",
            )
    if request.format == "vllm":
        for name in ("weights", "layers", "runner_up", "probabilities"):
            if getattr(request, name) and not (name in {"weights", "layers"} and "summary" in request.return_):
                raise RequestError(
                    f"{root}.{name}: vLLM's format holds the expert ids of all layers and nothing else; leave "
                    f"'{name}' out, or leave 'format' out",
                    param=f"{root}.{name}",
                )


class ArrayDocument(Document):
    """An array on the wire: base64 of an `.npy` file, with dtype and shape beside it."""

    data: str
    dtype: str
    shape: Annotated[tuple[int, ...], Field(strict=False)]

    @classmethod
    def from_numpy(cls, array: "np.ndarray[Any, Any]") -> "ArrayDocument":
        """Encode an array; nothing is pickled."""
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        return cls(data=base64.b64encode(buffer.getvalue()).decode(), dtype=str(array.dtype), shape=array.shape)

    def to_numpy(self) -> "np.ndarray[Any, Any]":
        """Decode the array.

        Raises:
            ValueError: The data is no `.npy` file, or holds another dtype or shape than stated.
        """
        import numpy as np

        file = io.BytesIO(base64.b64decode(self.data, validate=True))
        array: np.ndarray[Any, Any] = np.load(file, allow_pickle=False)
        if str(array.dtype) != self.dtype or array.shape != self.shape:
            raise ValueError(f"stated {self.dtype} {self.shape}, holds {array.dtype} {array.shape}")
        return array


class RoutingSummary(Document):
    """A request's own sums: by phase, MoE layer and expert.

    `selected` is int32 [phases, layers, experts], `weight_sum` float32 of the same shape. Tokens served from
    the prefix cache were not computed and are not counted.
    """

    phases: PhaseSet = PHASES
    layers: Annotated[tuple[int, ...], Field(strict=False)]
    num_tokens: Annotated[tuple[int, ...], Field(strict=False)]
    selected: ArrayDocument
    weight_sum: ArrayDocument | None = None


class RoutingTokens(Document):
    """One sequence, token by token: n tokens that went through the model, the last sampled one excluded.

    Args of note:
        layers: MoE layers of the arrays' second axis.
        ids: uint8 or uint16 [n, layers, k], selected experts; the dtype's largest value where nothing was computed.
        weights: float16 [n, layers, k], routing weights.
        runner_up: As `ids`, the experts that would have come next.
        probabilities: float16 [n, layers, experts], the routers' scores before any edit.
        scripts: ISO 15924 code of each token.
        computed: False for tokens served from the prefix cache.
        steered: Whether edits were in force.
    """

    num_tokens: int
    layers: Annotated[tuple[int, ...], Field(strict=False)]
    ids: ArrayDocument
    weights: ArrayDocument | None = None
    runner_up: ArrayDocument | None = None
    probabilities: ArrayDocument | None = None
    token_ids: Annotated[tuple[int, ...], Field(strict=False)]
    scripts: Annotated[tuple[str, ...], Field(strict=False)]
    phases: Annotated[tuple[Phase, ...], Field(strict=False)]
    computed: Annotated[tuple[bool, ...], Field(strict=False)]
    steered: Annotated[tuple[bool, ...], Field(strict=False)]


class RoutingEcho(Document):
    """The `routing` field of a response.

    Args of note:
        tokens: The request's one sequence.
        sequences: In place of `tokens` when there are several (choices times prompts), in the order of the choices.
        routed_experts: vLLM's encoding of each sequence, where the response has no choices to carry it.
        readouts: By expert set, in the order of the request.
    """

    summary: RoutingSummary | None = None
    tokens: RoutingTokens | None = None
    sequences: Annotated[tuple[RoutingTokens, ...], Field(strict=False)] | None = None
    routed_experts: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    readouts: dict[str, Readout] | None = None
    tag: str | None = None
