"""JSON Schemas of everything that goes over the wire, and their place in the server's OpenAPI document."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import Policy
from polyglyph.contract.routing import RoutingEcho, RoutingRequest
from polyglyph.contract.steering import SteeringEcho, SteeringRequest

JsonObject = dict[str, Any]
REQUEST_MODELS = ("ChatCompletionRequest", "CompletionRequest", "ResponsesRequest", "AnthropicMessagesRequest")
_STEERING_WORDS: JsonObject = {
    "anyOf": [
        {"const": False, "description": "no steering"},
        {"type": "string", "minLength": 1, "description": "'off', 'auto', or the name or fingerprint of a plan"},
    ]
}


@cache
def all_schemas() -> JsonObject:
    """Give the schema of each document and field by its name."""
    return {
        "plan": _schema_of(Plan),
        "policy": _schema_of(Policy),
        "experts": _schema_of(ExpertSet),
        "request": {"steering": _steering_field(), "routing": _schema_of(RoutingRequest)},
        "response": {
            "steering": _schema_of(SteeringEcho, mode="serialization"),
            "routing": _schema_of(RoutingEcho, mode="serialization"),
        },
    }


def describe_fields(app: FastAPI) -> None:
    """Make the app's OpenAPI document show our two fields on the requests that take them."""
    describe = app.openapi

    def openapi() -> JsonObject:
        document = describe()
        schemas = document.get("components", {}).get("schemas", {})
        for name in REQUEST_MODELS:
            if name in schemas:
                schemas[name].setdefault("properties", {}).update(_request_fields(schemas))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _request_fields(schemas: JsonObject) -> JsonObject:
    fields = {}
    for name, schema in all_schemas()["request"].items():
        definitions = schema.get("$defs", {})
        for defined, content in definitions.items():
            schemas.setdefault(defined, _moved(content))
        fields[name] = _moved({key: value for key, value in schema.items() if key != "$defs"})
    return fields


def _moved(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


def _steering_field() -> JsonObject:
    schema = _schema_of(SteeringRequest)
    definitions = schema.pop("$defs", {})
    return {"anyOf": [*_STEERING_WORDS["anyOf"], schema], "$defs": definitions}


def _schema_of(model: Any, *, mode: Any = "validation") -> JsonObject:
    return TypeAdapter(model).json_schema(by_alias=True, mode=mode)
