"""The front end's hook: attach the payload to every engine request, and salt the prefix cache of steered ones.

Written for vLLM 0.32 and 0.33; leans on `v1.engine.input_processor.InputProcessor.process_inputs`, which every entry
point passes, on `v1.engine.parallel_sampling.ParentRequest.get_child_info`, on `SamplingParams.extra_args` and
`skip_reading_prefix_cache`, and on `EngineCoreRequest.cache_salt`.
"""

import hashlib
from collections.abc import Callable
from copy import copy
from typing import Any

from pydantic import ValidationError

from polyglyph.contract.base import as_request_error
from polyglyph.contract.edits import check_edits
from polyglyph.contract.errors import RequestError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.steering import ORIGIN_KEY, PAYLOAD_KEY, SteeringPayload
from polyglyph.routing.compat.patching import wrap
from polyglyph.routing.ticket import CURRENT_TICKET

_loaded_model: list[ModelDescription] = []


def set_loaded_model(model: ModelDescription) -> None:
    """Say which model this front end serves, so that payloads set by hand can be checked before they are scheduled."""
    _loaded_model[:] = [model]


def patch_input_processor() -> None:
    """Wrap the one place that every request passes on its way to the engine, and the one that multiplies it."""
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.engine.parallel_sampling import ParentRequest

    wrap(InputProcessor, "process_inputs", _attach_payload)
    wrap(ParentRequest, "get_child_info", _number_choices)


def _attach_payload(original: Callable[..., Any]) -> Callable[..., Any]:
    def process_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = original(self, *args, **kwargs)
        params = request.sampling_params
        if params is None:
            return request
        payload = _payload_for(params)
        if payload is not None:
            _refuse_streamed_input(request, payload)
            if payload.recomputes_prefix:
                params.skip_reading_prefix_cache = True
            salt = payload.cache_salt
            ticket = CURRENT_TICKET.get()
            first = 0 if ticket is None else ticket.take_up(params.n)
            params.extra_args = {
                **(params.extra_args or {}),
                PAYLOAD_KEY: payload.model_dump_json(),
                ORIGIN_KEY: (request.request_id, first, salt),
            }
            if salt is not None:
                request.cache_salt = compose_salt(salt, request.cache_salt)
        return request

    return process_inputs


def _number_choices(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_child_info(self: Any, index: int) -> tuple[str, Any]:
        child_id: str
        child_id, params = original(self, index)
        origin = (params.extra_args or {}).get(ORIGIN_KEY)
        if origin is not None and index:
            # vLLM may hand the same object to every choice.
            params = copy(params)
            params.extra_args = {**params.extra_args, ORIGIN_KEY: (origin[0], origin[1] + index, origin[2])}
        return child_id, params

    return get_child_info


def _refuse_streamed_input(request: Any, payload: SteeringPayload) -> None:
    """A prompt that goes on arriving after the request began moves the end of its prompt, which phases hang on."""
    if getattr(request, "resumable", False) and payload.wants_receipt:
        raise RequestError(
            "steering: a request whose input is streamed cannot be steered or read; send the whole prompt at once",
            param="steering",
        )


def _payload_for(params: Any) -> SteeringPayload | None:
    ticket = CURRENT_TICKET.get()
    by_hand = (params.extra_args or {}).get(PAYLOAD_KEY)
    if ticket is not None:
        if by_hand is not None:
            raise RequestError(
                f"vllm_xargs.{PAYLOAD_KEY}: this key is Polyglyph's own; use the field 'steering'",
                param=f"vllm_xargs.{PAYLOAD_KEY}",
            )
        return ticket.payload
    return None if by_hand is None else _check_by_hand(by_hand)


def _check_by_hand(value: Any) -> SteeringPayload:
    """Check a payload that came through `SamplingParams.extra_args`, as offline users send it."""
    root = f"extra_args.{PAYLOAD_KEY}"
    try:
        payload = SteeringPayload.model_validate_json(value) if isinstance(value, str) else _validated(value)
    except ValidationError as error:
        raise as_request_error(error, root=root) from error
    if not _loaded_model:
        raise RequestError(
            f"{root}: the loaded model is not known here; make the payload with "
            "polyglyph.routing.offline.OfflineSteering",
            param=root,
        )
    check_edits(payload.edits, _loaded_model[0], strength=payload.strength, param=f"{root}.edits")
    return payload


def _validated(value: Any) -> SteeringPayload:
    return value if isinstance(value, SteeringPayload) else SteeringPayload.model_validate(value)


def compose_salt(ours: str, callers: str | None) -> str:
    """Join our salt with the caller's own, so that neither shares with the other's requests.

    Returns:
        At most 128 characters, none of them `@`, `/` or a backslash.
    """
    if callers is None:
        return f"polyglyph:{ours}"
    return "polyglyph:" + hashlib.sha256(f"{ours}\0{callers}".encode()).hexdigest()
