"""Reads the `steering` and `routing` fields of an OpenAI response or stream chunk."""

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from polyglyph.clients.errors import AnswerError
from polyglyph.clients.routing import Routing
from polyglyph.contract.base import Document
from polyglyph.contract.routing import RoutingEcho
from polyglyph.contract.steering import SteeringEcho

if TYPE_CHECKING:
    from collections.abc import Mapping

EchoT = TypeVar("EchoT", bound=Document)


def steering_of(response: "BaseModel | Mapping[str, Any]") -> SteeringEcho | None:
    """Give what the server says it did with the request's steering.

    Args:
        response: A response or chunk of the OpenAI client (any route), or its JSON.

    Returns:
        None when the field is absent, as on the middle chunks of a stream.

    Raises:
        AnswerError: The field is there but is no steering echo.
    """
    return _field(response, "steering", SteeringEcho)


def routing_of(response: "BaseModel | Mapping[str, Any]") -> Routing | None:
    """Give the routing that the request asked to have returned, its arrays decoded.

    Args:
        response: As in `steering_of`; of a stream, the last chunk that comes.

    Returns:
        None when the field is absent, as on all chunks of a stream but the last.

    Raises:
        AnswerError: The field is there but is no routing echo, or one of its arrays is damaged.
    """
    echo = _field(response, "routing", RoutingEcho)
    try:
        return None if echo is None else Routing.decoded(echo)
    except (ValueError, EOFError) as error:
        raise AnswerError(f"the response's 'routing' field holds a damaged array: {error}") from error


def _field(response: "BaseModel | Mapping[str, Any]", name: str, kind: type[EchoT]) -> EchoT | None:
    fields = response.model_extra or {} if isinstance(response, BaseModel) else response
    value = fields.get(name)
    if value is None:
        return None
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise AnswerError(f"the response's '{name}' field is not what this client reads: {error}") from error
