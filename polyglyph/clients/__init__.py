"""Python client and the command line; needs neither torch nor vLLM."""

from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.echo import routing_of, steering_of
from polyglyph.clients.errors import AnswerError, ApiKeyError, ServerUnreachableError
from polyglyph.clients.routing import Routing, Trace

__all__ = [
    "AnswerError",
    "ApiKeyError",
    "AsyncPolyglyph",
    "Polyglyph",
    "Routing",
    "ServerUnreachableError",
    "Trace",
    "routing_of",
    "steering_of",
]
