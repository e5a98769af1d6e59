"""Follows every request of one worker: rows, slots and groups going in, sums and receipts coming out.

Letters: P request rows, T tokens of a step, R requests of a step, L MoE layers, E experts, K selected experts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.contract.steering import SteeringPayload
from polyglyph.kernels.annotate import MarkerAutomaton, RequestRows, seed_ring
from polyglyph.kernels.annotate.rows import NEUTRAL_ROW
from polyglyph.kernels.arrays import put
from polyglyph.kernels.choice import implementation
from polyglyph.kernels.label_scripts import LabelTable
from polyglyph.routing.edit_table import UNSTEERED, compile_row
from polyglyph.routing.layers import RoutedLayers
from polyglyph.routing.receipts import ReceiptBook, WorkerReceipt
from polyglyph.routing.recorder import Batch, Recorder, RecorderOptions, Step
from polyglyph.routing.requests import RequestRecord
from polyglyph.routing.slots import SlotPool


@dataclass(frozen=True)
class TrackerLimits:
    """Sizes of the engine.

    Attributes:
        max_num_reqs: Requests in one step.
        ring_width: Generated tokens whose marker state is remembered; at least the speculative tokens + 2.
    """

    max_num_reqs: int
    ring_width: int


class RequestTracker:
    """The one object that a model runner's hooks talk to.

    Args:
        layers: The hooked layers and their persistent tensors.
        automaton: Finds the reasoning block.
        labels: Script labels of the vocabulary.
        limits: Sizes of the engine.
        options: What is recorded.
    """

    def __init__(
        self,
        layers: RoutedLayers,
        *,
        automaton: MarkerAutomaton,
        labels: LabelTable,
        limits: TrackerLimits,
        options: RecorderOptions,
    ) -> None:
        device = layers.device
        self.layers = layers
        self._limits = limits
        self._host_automaton = automaton
        self._automaton = automaton.to(device)
        self._records: dict[str, RequestRecord] = {}
        self._slots = SlotPool(layers.table.num_slots)
        self._receipts = ReceiptBook()
        self._batch: Batch | None = None
        self._step: Step | None = None
        # Found once: what a step does in Python is most of what it costs.
        self._annotate = implementation("annotate", device).annotate
        num_rows = limits.max_num_reqs + 1
        self._rows = RequestRows.allocate(num_rows, ring_width=limits.ring_width, device=device)
        self._free_rows = list(range(num_rows - 1, NEUTRAL_ROW, -1))
        self._recorder = Recorder(
            layers, options=options, labels=labels, num_rows=num_rows, max_num_reqs=limits.max_num_reqs
        )

    # Requests

    def add(
        self,
        req_id: str,
        payload: SteeringPayload | None,
        *,
        prompt_token_ids: Sequence[int] | None,
        prompt_len: int,
        known_token_ids: Sequence[int] | None,
        num_computed: int,
    ) -> None:
        """Take up a new request, or one that comes back after preemption.

        Args:
            req_id: The engine's id of the request.
            payload: What it asked.
            prompt_token_ids: The prompt; None when it came as embeddings, which hold no markers.
            prompt_len: Prompt tokens.
            known_token_ids: Prompt and generated tokens known so far, when it comes back.
            num_computed: Tokens whose keys and values are in the cache already.
        """
        self._batch = None
        record = self._records.get(req_id)
        if record is None:
            start_state = self._host_automaton.run(prompt_token_ids) if prompt_token_ids is not None else 0
            record = RequestRecord(req_id, payload, self._take_row(), prompt_len, start_state)
            self._records[req_id] = record
            self._open_row(record)
            self._recorder.open(record, prompt_token_ids, num_computed)
        self._recorder.resume(record, known_token_ids, num_computed)
        record.is_known = True
        self._acquire_slot(record)
        if num_computed > prompt_len:
            assert known_token_ids is not None
            assert len(known_token_ids) >= num_computed
            state = self._host_automaton.run(known_token_ids[prompt_len:num_computed], record.start_state)
            seed_ring(self._rows, record.row, num_computed - 1, state)

    def pause(self, req_ids: Iterable[str]) -> None:
        """Give back the slots of preempted requests; their rows and sums stay."""
        for req_id in req_ids:
            record = self._records.get(req_id)
            if record is not None:
                self._batch = None
                self._release_slot(record)

    def finish(self, req_ids: Iterable[str]) -> None:
        """Forget finished and aborted requests, keeping the receipts that the front end will fetch."""
        for req_id in req_ids:
            record = self._records.pop(req_id, None)
            if record is None:
                continue
            self._batch = None
            receipt = self._recorder.close(record)
            if receipt is not None and record.payload is not None:
                self._receipts.add(record.payload.key, receipt)
            self._release_slot(record)
            self._free_rows.append(record.row)

    # Steps

    @property
    def counts_step(self) -> bool:
        """Whether the step that has begun will be added up; if not, `end_step` need not be prepared."""
        return self._step is not None

    def begin_step(
        self,
        req_ids: Sequence[str],
        *,
        query_start_R1: Tensor,
        start_position_R: Tensor,
        input_ids_T: Tensor,
        num_tokens: int,
        num_scheduled: Mapping[str, int],
    ) -> None:
        """Note slot, phase and row of every token of the step, before the forward pass.

        Args:
            req_ids: The step's requests in batch order.
            query_start_R1: int32, first token of each request, and the end.
            start_position_R: Position of each request's first token.
            input_ids_T: Token ids on the device, the last sampled ones included.
            num_tokens: Tokens of the step, padding not counted.
            num_scheduled: Tokens of each request, on the host.
        """
        batch = self._batch_of(req_ids)
        self._step = None
        if not (batch.is_steered or batch.is_logged):
            # Nobody asks anything of these tokens: no slot, no phase, no sum.
            self.layers.clear_notes()
            return
        start_R = start_position_R.to(torch.int32)
        if batch.is_logged:
            self._step = Step(
                batch=batch,
                num_scheduled=num_scheduled,
                row_R=batch.row_R,
                query_start_R1=query_start_R1,
                start_R=start_R,
                input_ids_T=input_ids_T,
                num_tokens=num_tokens,
            )
        self.layers.mark_notes()
        self._annotate(
            row_R=batch.row_R,
            query_start_R1=query_start_R1,
            start_position_R=start_R,
            input_ids_T=input_ids_T,
            num_tokens=num_tokens,
            rows=self._rows,
            automaton=self._automaton,
            out=self.layers.notes,
        )

    def begin_dummy_step(self) -> None:
        """Make the next forward pass neutral: every token unsteered, nothing counted; the hooks still run."""
        self._step = self._batch = None
        self.layers.clear_notes()
        # Steered, by the slot without edits: what a processor compiles at its first use no request has to wait for.
        self.layers.set_step(is_steered=True, is_logged=True)

    def end_step(self, num_valid_R: Tensor | None = None) -> None:
        """Add up the step after sampling, when it is known which drafts were rejected.

        Args:
            num_valid_R: Tokens of each request that stay: its chunk without the rejected drafts; None where all stay.
        """
        step, self._step = self._step, None
        if step is not None:
            if num_valid_R is not None:
                step.num_valid_R = num_valid_R.to(torch.int32)
            self._recorder.add(step)

    # What the front end reads

    def take_receipts(self, keys: Iterable[str]) -> dict[str, WorkerReceipt]:
        """Give the receipts of finished requests; a request whose end this worker has not heard of is read as it is.

        The front end may ask before the scheduler's next step tells the worker that the request has finished.
        """
        live: dict[str, list[RequestRecord]] = {}
        for record in self._records.values():
            if record.wants_receipt and record.payload is not None:
                live.setdefault(record.payload.key, []).append(record)
        taken: dict[str, WorkerReceipt] = {}
        for key in keys:
            receipt = self._receipts.take(key)
            for record in live.get(key, ()):
                receipt = receipt or WorkerReceipt()
                receipt.add(self._recorder.read(record))
                # Its end must not be counted again when the worker hears of it.
                record.is_answered = True
                self._batch = None
            if receipt is not None:
                taken[key] = receipt
        return taken

    def drain_stats(self, acknowledged: int) -> dict[str, Any]:
        """End the running interval of the stats and give its sums; see `StatsRecorder.drain`."""
        assert self._recorder.stats is not None
        return self._recorder.stats.drain(acknowledged)

    def drain_traces(self, acknowledged: int) -> dict[str, Any]:
        """Give finished requests' traces, where all are kept; see `FinishedTraces.drain`."""
        return self._recorder.finished_traces.drain(acknowledged)

    @torch.inference_mode()
    def make_ready(self) -> None:
        """Compile what is needed by a step of no requests, and drop what the engine's own warm-up counted."""
        nobody = torch.zeros(1, dtype=torch.int32, device=self.layers.device)
        no_row_R = self._to_device([], torch.int32)
        flags = {"is_scored": False, "has_receipts": True, "has_traces": False}
        self._use(Batch([], [], no_row_R, is_steered=True, is_logged=True, **flags))
        self.begin_step(
            [],
            query_start_R1=nobody,
            start_position_R=nobody[:0],
            input_ids_T=nobody[:0],
            num_tokens=0,
            num_scheduled={},
        )
        self.end_step()
        self._batch = None
        self.layers.warm_up()
        self._recorder.warm_up()
        self.clear_stats()

    def clear_stats(self) -> None:
        """Drop what was counted so far."""
        if self._recorder.stats is not None:
            self._recorder.stats.clear()

    # Helpers

    def _batch_of(self, req_ids: Sequence[str]) -> Batch:
        batch = self._batch
        if batch is None or batch.req_ids != req_ids:
            records = [self._records[req_id] for req_id in req_ids]
            row_R = self._to_device([record.row for record in records], torch.int32)
            batch = self._use(self._recorder.batch_of(req_ids, records, row_R))
        return batch

    def _use(self, batch: Batch) -> Batch:
        self._batch = batch
        self.layers.set_step(is_steered=batch.is_steered, is_logged=batch.is_logged, is_scored=batch.is_scored)
        return batch

    def _take_row(self) -> int:
        if not self._free_rows:
            self._grow()
        return self._free_rows.pop()

    def _grow(self) -> None:
        """Double the rows: preempted requests keep theirs, so there can be more of them than fit one step."""
        old = self._rows.prompt_len_P.shape[0]
        fresh = RequestRows.allocate(2 * old, ring_width=self._limits.ring_width, device=self.layers.device)
        for name in ("prompt_len_P", "start_state_P", "ring_PW", "slots_P3"):
            getattr(fresh, name)[:old] = getattr(self._rows, name)
        self._rows = fresh
        self._recorder.grow(2 * old)
        self._free_rows.extend(range(2 * old - 1, old - 1, -1))

    def _open_row(self, record: RequestRecord) -> None:
        put(self._rows.prompt_len_P, record.row, record.prompt_len)
        put(self._rows.start_state_P, record.row, record.start_state)
        put(self._rows.slots_P3, record.row, UNSTEERED)

    def _acquire_slot(self, record: RequestRecord) -> None:
        payload = record.payload
        if payload is None or not payload.is_steered or record.slot_key is not None:
            return
        key = payload.content or payload.cache_salt
        assert key is not None
        record.slot_key = key
        slot = self._slots.acquire(key, lambda slot: self._write_slot(slot, payload))
        for index, phase in enumerate(PHASES):
            if phase in payload.phases:
                put(self._rows.slots_P3, (record.row, index), slot)

    def _write_slot(self, slot: int, payload: SteeringPayload) -> None:
        row = compile_row(
            payload.edits,
            strength=payload.strength,
            num_layers=self.layers.num_layers,
            num_experts=self.layers.num_experts,
        )
        self.layers.table.write(slot, row)

    def _release_slot(self, record: RequestRecord) -> None:
        if record.slot_key is not None:
            self._slots.release(record.slot_key)
            record.slot_key = None
            put(self._rows.slots_P3, record.row, UNSTEERED)

    def _to_device(self, values: Sequence[int], dtype: torch.dtype) -> Tensor:
        # A fresh tensor each step: under async scheduling the last step's copy may still be on its way.
        pinned = self.layers.device.type == "cuda"
        return torch.tensor(values, dtype=dtype, pin_memory=pinned).to(self.layers.device, non_blocking=True)
