"""Hooks of Model Runner V2, vLLM's default on GPUs.

Written for vLLM 0.32 and 0.33; leans on `v1.worker.gpu.model_runner.GPUModelRunner`: `finish_requests`, `add_requests`
(whose `scheduled_new_reqs` hold resumed requests too), `prepare_inputs`, `postprocess_sampled`, `_dummy_run`,
`capture_model`, on `req_states.num_computed_tokens.gpu`, and on `InputBatch`.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from polyglyph.routing.compat.payloads import payload_of
from polyglyph.routing.compat.runner import (
    Method,
    forget_requests,
    neutral_step,
    patch_runner,
    tracker_of,
)


def patch_runner_v2() -> None:
    """Wrap the runner class."""
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner

    makers: dict[str, Callable[[Method], Method]] = {
        "finish_requests": _finish_requests,
        "add_requests": _add_requests,
        "prepare_inputs": _begin_step,
        "postprocess_sampled": _end_step,
        "_dummy_run": neutral_step,
        "capture_model": neutral_step,
    }
    patch_runner(GPUModelRunner, makers)


def _finish_requests(original: Method) -> Method:
    def finish_requests(self: Any, scheduler_output: Any) -> Any:
        tracker = tracker_of(self)
        if tracker is not None:
            forget_requests(tracker, scheduler_output)
        return original(self, scheduler_output)

    return finish_requests


def _add_requests(original: Method) -> Method:
    def add_requests(self: Any, scheduler_output: Any) -> Any:
        result = original(self, scheduler_output)
        tracker = tracker_of(self)
        if tracker is not None:
            for new in scheduler_output.scheduled_new_reqs:
                tracker.add(
                    new.req_id,
                    payload_of(new.sampling_params),
                    prompt_token_ids=new.prompt_token_ids,
                    # Not the prefill length, which grows by the generated tokens when a request comes back.
                    prompt_len=new.prompt_len,
                    known_token_ids=new.prefill_token_ids,
                    num_computed=new.num_computed_tokens,
                )
        return result

    return add_requests


def _begin_step(original: Method) -> Method:
    def prepare_inputs(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        batch = original(self, scheduler_output, *args, **kwargs)
        tracker = tracker_of(self)
        if tracker is not None:
            tracker.begin_step(
                batch.req_ids,
                query_start_R1=batch.query_start_loc[: batch.num_reqs + 1],
                # On the device: under async scheduling the host does not know how many drafts were accepted.
                start_position_R=self.req_states.num_computed_tokens.gpu[batch.idx_mapping],
                input_ids_T=batch.input_ids,
                num_tokens=batch.num_tokens,
                num_scheduled=scheduler_output.num_scheduled_tokens,
            )
        return batch

    return prepare_inputs


def _end_step(original: Method) -> Method:
    def postprocess_sampled(  # noqa: PLR0917 - vLLM's own signature
        self: Any,
        idx_mapping: Tensor,
        sampled_tokens: Tensor,
        num_sampled: Tensor,
        num_rejected: Tensor,
        query_start_loc: Tensor | None = None,
    ) -> Any:
        tracker = tracker_of(self)
        if tracker is not None and tracker.counts_step:
            # Absent only where an earlier pipeline stage hears of a former step; pipelines are refused at start.
            assert query_start_loc is not None
            chunk_R = query_start_loc[: len(num_rejected) + 1].diff()
            tracker.end_step(chunk_R - num_rejected)
        return original(self, idx_mapping, sampled_tokens, num_sampled, num_rejected, query_start_loc)

    return postprocess_sampled
