"""The payload that rides in `SamplingParams.extra_args`, read back in the engine's processes."""

from typing import Any

from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload


def payload_of(sampling_params: Any) -> SteeringPayload | None:
    """Read the payload that the input processor attached.

    It was checked there, so a payload that does not parse is a fault of ours and not the caller's.
    """
    extra_args = getattr(sampling_params, "extra_args", None) or {}
    payload = extra_args.get(PAYLOAD_KEY)
    return None if payload is None else SteeringPayload.model_validate_json(payload)
