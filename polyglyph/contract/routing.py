"""The `routing` field of requests and responses (design section 4)."""

import base64
import io
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from polyglyph.contract.base import Document, as_request_error
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import PHASES, PhaseSet

if TYPE_CHECKING:
    import numpy as np

TAG_PATTERN = r"^[A-Za-z0-9._:-]{0,64}$"


class RoutingRequest(Document):
    """A request's `routing` field.

    Args of note:
        return_: What to give back; `summary` are the request's own sums.
        weights: Give sums of routing weights beside the counts.
        layers: MoE layers to give, all when absent.
        tag: Label that groups this request's tokens in the stats.
    """

    return_: Annotated[tuple[Literal["summary"], ...], Field(alias="return", strict=False)] = ()
    weights: bool = False
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)] | None = None
    tag: str = Field(default="", pattern=TAG_PATTERN)


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
    if not request.return_ and (request.weights or request.layers is not None):
        raise RequestError(
            f"{root}.return: 'weights' and 'layers' shape what is returned; name it, as in \"return\": [\"summary\"]",
            param=f"{root}.return",
        )
    return request


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


class RoutingEcho(Document):
    """The `routing` field of a response."""

    summary: RoutingSummary | None = None
    tag: str | None = None
