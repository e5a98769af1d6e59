"""The four routes that generate: where the user's text is, and where the response's first and last words are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from polyglyph.contract.errors import RequestError
from polyglyph.server import user_text
from polyglyph.server.refusals import error_document
from polyglyph.server.sse import encode_event

JsonObject = dict[str, Any]
_NOT_FINISHED = frozenset({None, "abort", "error"})


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one route speaks.

    Attributes:
        path: The route.
        user_text: Finds the user's text in a request body.
        can_be_last: Whether a stream's event may be the last one that carries data.
        precedes_engine: Whether a stream's event is sent before the engine saw the request.
        is_error: Whether a stream's event reports a fault.
        inner: Key of the response object inside a stream's event; the fields are added there too.
        has_choices: Whether a response is a list of choices, which vLLM's own trace belongs to.
        encode_error: Writes a fault as a stream's event.
        probe_fields: What makes a request body ask for one token and leave nothing behind.
    """

    path: str
    user_text: Callable[[JsonObject], str]
    can_be_last: Callable[[JsonObject], bool]
    precedes_engine: Callable[[JsonObject], bool]
    is_error: Callable[[JsonObject], bool]
    inner: str | None
    has_choices: bool
    encode_error: Callable[[RequestError], bytes]
    probe_fields: Mapping[str, Any]

    def add_fields(self, event: JsonObject, fields: JsonObject) -> JsonObject:
        """Give a stream's event with the response fields added."""
        response = event.get(self.inner) if self.inner else None
        if self.inner and isinstance(response, dict):
            event = {**event, self.inner: {**response, **fields}}
        return {**event, **fields}

    def add_account(self, document: JsonObject, fields: JsonObject) -> JsonObject:
        """Give a whole response with the response fields added, vLLM's own trace where vLLM's clients look for it."""
        encoded = fields.get("routing", {}).get("routed_experts")
        choices = document.get("choices")
        if self.has_choices and encoded and isinstance(choices, list) and len(choices) == len(encoded):
            routing = {name: value for name, value in fields["routing"].items() if name != "routed_experts"}
            fields = {**fields, "routing": routing}
            in_order = [{**choice, "routed_experts": encoded[choice["index"]]} for choice in choices]
            document = {**document, "choices": in_order}
        return {**document, **fields}


def _ends_a_choice(event: JsonObject) -> bool:
    choices = event.get("choices")
    if not isinstance(choices, list):
        return False
    return not choices or any(_has_ended(choice) for choice in choices)


def _has_ended(choice: Any) -> bool:
    return isinstance(choice, dict) and choice.get("finish_reason") not in _NOT_FINISHED


def _is_one_of(*types: str) -> Callable[[JsonObject], bool]:
    return lambda event: event.get("type") in types


def _never(event: JsonObject) -> bool:
    del event
    return False


def _has_error(event: JsonObject) -> bool:
    return "error" in event and "choices" not in event


def _encode_plain(error: RequestError) -> bytes:
    return encode_event(error.to_openai())


def _encode_for_responses(error: RequestError) -> bytes:
    document = {"type": "error", "code": error.code, "message": str(error), "param": error.param}
    return encode_event(document, b"event: error")


def _encode_for_messages(error: RequestError) -> bytes:
    return encode_event(error_document(error, path="/v1/messages"), b"event: error")


CHAT = Dialect(
    path="/v1/chat/completions",
    user_text=user_text.of_messages,
    can_be_last=_ends_a_choice,
    precedes_engine=_never,
    is_error=_has_error,
    inner=None,
    has_choices=True,
    encode_error=_encode_plain,
    probe_fields={"max_completion_tokens": 1},
)
COMPLETIONS = Dialect(
    path="/v1/completions",
    user_text=user_text.of_prompt,
    can_be_last=_ends_a_choice,
    precedes_engine=_never,
    is_error=_has_error,
    inner=None,
    has_choices=True,
    encode_error=_encode_plain,
    probe_fields={"max_tokens": 1},
)
RESPONSES = Dialect(
    path="/v1/responses",
    user_text=user_text.of_input,
    can_be_last=_is_one_of("response.completed", "response.incomplete"),
    precedes_engine=_is_one_of("response.created", "response.in_progress", "response.queued"),
    is_error=_is_one_of("error", "response.failed"),
    inner="response",
    has_choices=False,
    encode_error=_encode_for_responses,
    probe_fields={"max_output_tokens": 1, "store": False},
)
MESSAGES = Dialect(
    path="/v1/messages",
    user_text=user_text.of_messages,
    can_be_last=_is_one_of("message_delta", "message_stop"),
    precedes_engine=_never,
    is_error=_is_one_of("error"),
    inner="message",
    has_choices=False,
    encode_error=_encode_for_messages,
    probe_fields={"max_tokens": 1},
)

DIALECTS = {dialect.path: dialect for dialect in (CHAT, COMPLETIONS, RESPONSES, MESSAGES)}
UNSTEERED_PATHS = frozenset(
    {
        "/v1/chat/completions/batch",
        "/cohere/v2/chat",
        "/generative_scoring",
        "/inference/v1/generate",
        "/invocations",
        "/v1/systemone",
    }
)
"""Routes that generate or score too, but take no steering: our fields there are refused instead of ignored."""
