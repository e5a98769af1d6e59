"""The payload that rides in `SamplingParams.extra_args`, read back in the engine's processes."""

from typing import Any

from polyglyph.contract.steering import ORIGIN_KEY, PAYLOAD_KEY, SteeringPayload


def payload_of(sampling_params: Any) -> SteeringPayload | None:
    """Read the payload that the input processor attached.

    It was checked there, so a payload that does not parse is a fault of ours and not the caller's.
    """
    extra_args = getattr(sampling_params, "extra_args", None) or {}
    text = extra_args.get(PAYLOAD_KEY)
    if text is None:
        return None
    payload = SteeringPayload.model_validate_json(text)
    request_id, sequence, content = extra_args.get(ORIGIN_KEY, ("", 0, None))
    return payload.model_copy(update={"request_id": request_id, "sequence": sequence, "content": content})
