"""Hooks of Model Runner V1, which runs on CPUs and, where vLLM falls back to it, on GPUs.

Written for vLLM 0.32 and 0.33; leans on `v1.worker.gpu_model_runner.GPUModelRunner`: `_update_states`,
`_prepare_inputs`, `_update_states_after_model_execute`, `_dummy_run`, and on its `input_batch`, `query_start_loc`,
`num_computed_tokens`, `input_ids` and `requests`.
"""

from collections.abc import Callable
from typing import Any

import torch

from polyglyph.routing.compat.payloads import payload_of
from polyglyph.routing.compat.runner import (
    Method,
    forget_requests,
    neutral_step,
    patch_runner,
    tracker_of,
)
from polyglyph.routing.tracker import RequestTracker


def patch_runner_v1() -> None:
    """Wrap the runner class."""
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    makers: dict[str, Callable[[Method], Method]] = {
        "_update_states": _follow_requests,
        "_prepare_inputs": _begin_step,
        "_update_states_after_model_execute": _end_step,
        "_dummy_run": neutral_step,
    }
    patch_runner(GPUModelRunner, makers)


def _follow_requests(original: Method) -> Method:
    def update_states(self: Any, scheduler_output: Any) -> Any:
        tracker = tracker_of(self)
        if tracker is not None:
            forget_requests(tracker, scheduler_output)
        result = original(self, scheduler_output)
        if tracker is not None:
            _add_requests(tracker, self, scheduler_output)
        return result

    return update_states


def _add_requests(tracker: RequestTracker, runner: Any, scheduler_output: Any) -> None:
    for new in scheduler_output.scheduled_new_reqs:
        tracker.add(
            new.req_id,
            payload_of(new.sampling_params),
            prompt_token_ids=new.prompt_token_ids,
            prompt_len=new.prompt_len,
            known_token_ids=new.prompt_token_ids,
            num_computed=new.num_computed_tokens,
        )
    cached = scheduler_output.scheduled_cached_reqs
    for index, req_id in enumerate(cached.req_ids):
        if req_id in cached.resumed_req_ids:
            state = runner.requests[req_id]
            tracker.add(
                req_id,
                payload_of(state.sampling_params),
                prompt_token_ids=state.prompt_token_ids,
                prompt_len=state.num_prompt_tokens,
                # The scheduler's copy: under async scheduling the runner's own ends in placeholders.
                known_token_ids=cached.all_token_ids.get(req_id),
                num_computed=cached.num_computed_tokens[index],
            )


def _begin_step(original: Method) -> Method:
    def prepare_inputs(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, scheduler_output, *args, **kwargs)
        tracker = tracker_of(self)
        if tracker is not None:
            num_reqs = self.input_batch.num_reqs
            req_ids = self.input_batch.req_ids[:num_reqs]
            tracker.begin_step(
                req_ids,
                query_start_R1=self.query_start_loc.gpu,
                start_position_R=self.num_computed_tokens,
                input_ids_T=self.input_ids.gpu,
                num_tokens=scheduler_output.total_num_scheduled_tokens,
                num_scheduled=scheduler_output.num_scheduled_tokens,
            )
        return result

    return prepare_inputs


def _end_step(original: Method) -> Method:
    def update_states_after_model_execute(
        self: Any, output_token_ids: torch.Tensor, scheduler_output: Any, *args: Any, **kwargs: Any
    ) -> Any:
        tracker = tracker_of(self)
        if tracker is not None and tracker.counts_step:
            tracker.end_step(_num_valid(self, output_token_ids, scheduler_output))
        return original(self, output_token_ids, scheduler_output, *args, **kwargs)

    return update_states_after_model_execute


def _num_valid(runner: Any, output_token_ids: torch.Tensor, scheduler_output: Any) -> torch.Tensor | None:
    """Give int32 [R]: each request's chunk without its rejected drafts; None where nothing was drafted.

    A request with drafts samples one token more than it accepts; -1 stands for what was not sampled.
    """
    drafts = scheduler_output.scheduled_spec_decode_tokens
    if not drafts:
        return None
    num_reqs = runner.input_batch.num_reqs
    scheduled = scheduler_output.num_scheduled_tokens
    req_ids = runner.input_batch.req_ids[:num_reqs]
    chunk_R = torch.tensor([scheduled[req_id] for req_id in req_ids], dtype=torch.int32, device=runner.device)
    drafts_R = torch.tensor(
        [len(drafts.get(req_id, ())) for req_id in req_ids], dtype=torch.int32, device=runner.device
    )
    accepted_R = (output_token_ids[:num_reqs] != -1).sum(dim=1, dtype=torch.int32) - 1
    return torch.where(drafts_R > 0, chunk_R - drafts_R + accepted_R, chunk_R)
