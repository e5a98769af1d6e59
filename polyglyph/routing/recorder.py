"""What is recorded of the steps: stats of all tokens, and the account, summary and trace of requests that asked.

Letters: P request rows, R requests of a step, T tokens of a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polyglyph.contract.steering import TraceOptions
from polyglyph.kernels.label_scripts import LabelRows, LabelTable, label_scripts, run, seed
from polyglyph.routing.account import Account
from polyglyph.routing.edit_table import UNSTEERED
from polyglyph.routing.finished_traces import FinishedTraces
from polyglyph.routing.groups import RequestGroup
from polyglyph.routing.layers import RoutedLayers, StepLog
from polyglyph.routing.receipts import WorkerReceipt
from polyglyph.routing.requests import RequestRecord
from polyglyph.routing.stats import StatsRecorder
from polyglyph.routing.summaries import Summaries
from polyglyph.routing.traces import DEFAULT_MAX_BYTES, TraceRecorder, TraceShape

NO_SCRIPT = "Zyyy"


@dataclass(frozen=True, kw_only=True)
class RecorderOptions:
    """What a worker records.

    Attributes:
        counts: This worker counts; the others of a tensor-parallel group see the same tokens and only steer.
        keeps_stats: Sum every token's selections.
        keeps_traces: Trace every request, for the front end to write down.
        max_trace_bytes: Memory of all traces together.
    """

    counts: bool
    keeps_stats: bool
    keeps_traces: bool = False
    max_trace_bytes: int = DEFAULT_MAX_BYTES


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One step of the engine.

    Attributes:
        records: Its requests in batch order.
        lengths: Tokens of each request, on the host; rejected drafts included.
        row_R: int32 rows of the requests.
        query_start_R1: int32, first token of each request, and the end.
        start_R: int32 position of each request's first token.
        input_ids_T: Token ids.
        num_tokens: Tokens without padding.
    """

    records: Sequence[RequestRecord]
    lengths: Sequence[int]
    row_R: Tensor
    query_start_R1: Tensor
    start_R: Tensor
    input_ids_T: Tensor
    num_tokens: int


@dataclass(frozen=True, eq=False, kw_only=True)
class _Marks:
    """What is known of each token of a step after sampling."""

    row_T: Tensor
    position_T: Tensor
    phase_T: Tensor
    steered_T: Tensor
    counts_T: Tensor


class Recorder:
    """Keeps the books of one worker.

    Args:
        layers: The hooked layers, whose log is read after each step.
        options: What is recorded.
        labels: Script labels of the vocabulary.
        num_rows: P at first.
        max_num_reqs: Requests in one step.
    """

    def __init__(
        self, layers: RoutedLayers, *, options: RecorderOptions, labels: LabelTable, num_rows: int, max_num_reqs: int
    ) -> None:
        device, sizes = layers.device, (layers.num_layers, layers.num_experts)
        self._layers = layers
        self._options = options
        self._host_labels = labels
        self._labels = labels.to(device)
        self._account = Account.allocate(num_rows, device=device)
        self._label_rows = LabelRows.allocate(num_rows, device=device)
        self._script_T = torch.zeros_like(layers.notes.row_T, dtype=torch.uint8)
        self._summaries = Summaries(max_num_reqs, *sizes, device)
        self._traces = TraceRecorder(TraceShape(*sizes, layers.top_k), device=device, max_bytes=options.max_trace_bytes)
        self.finished_traces = FinishedTraces(self._traces)
        self.stats: StatsRecorder | None = None
        if options.counts and options.keeps_stats:
            self.stats = StatsRecorder(num_layers=sizes[0], num_experts=sizes[1], scripts=labels.scripts, device=device)

    def warm_up(self) -> None:
        """Compile what a processor compiles at its first use, so that no request waits for it."""
        if self.stats is None:
            return
        run(self._host_labels, [])
        nobody = torch.zeros(1, dtype=torch.int32, device=self._layers.device)
        label_scripts(
            row_R=nobody[:0],
            query_start_R1=nobody,
            num_valid_R=nobody[:0],
            input_ids_T=nobody[:0],
            num_tokens=0,
            rows=self._label_rows,
            table=self._labels,
            out_T=self._script_T,
        )

    # Requests

    def open(self, record: RequestRecord, prompt_token_ids: Sequence[int] | None, num_cached: int) -> None:
        """Start the books of a new request.

        Args:
            record: The request.
            prompt_token_ids: Its prompt; None when it came as embeddings.
            num_cached: Prompt tokens that the prefix cache serves.
        """
        payload = record.payload
        if not self._options.counts:
            return
        if self.stats is not None:
            record.group = self.stats.open(group_of(record))
        if payload is not None and payload.wants_summary:
            record.summary_rows = self._summaries.take()
        options = payload.trace if payload is not None else None
        if options is not None or self._options.keeps_traces:
            record.trace = self._traces.open(options or TraceOptions(), prompt_token_ids, num_cached)
        self._account.open(record.row, group=record.group, summaries=record.summary_rows)

    def resume(self, record: RequestRecord, known_token_ids: Sequence[int] | None, num_computed: int) -> None:
        """Take note of the tokens that a request does not compute now: its script labels go on behind them.

        Args:
            record: The request, new or back after preemption.
            known_token_ids: Its tokens so far; None when they came as embeddings.
            num_computed: Tokens whose keys and values are in the cache already.
        """
        if self.stats is None:
            return
        # What came as embeddings has no script: -1 is no token.
        known = np.full(num_computed, -1) if known_token_ids is None else np.asarray(known_token_ids[:num_computed])
        labels, state = run(self._host_labels, known)
        seed(self._label_rows, record.row, state)
        if not record.is_known:
            self.stats.add_cached(record.group, labels)

    def close(self, record: RequestRecord) -> WorkerReceipt | None:
        """End the books of a request; gives its receipt when the front end will ask for it."""
        receipt = self.read(record) if record.wants_receipt else None
        if self.stats is not None:
            self.stats.close(record.group)
        if record.summary_rows is not None:
            self._summaries.give_back(record.summary_rows)
        if record.trace is not None:
            self._finish_trace(record)
        return receipt

    def read(self, record: RequestRecord) -> WorkerReceipt:
        """Give a request's receipt as it stands."""
        receipt = WorkerReceipt(
            tokens_steered=int(self._account.steered_P[record.row]),
            selections_changed=int(self._account.changed_P[record.row]),
        )
        if record.summary_rows is not None:
            tokens, selected, weight_sum = self._summaries.read(record.summary_rows)
            receipt.num_tokens, receipt.selected = _to_numpy(tokens), _to_numpy(selected)
            receipt.weight_sum = _to_numpy(weight_sum)
        if record.trace is not None and record.payload is not None and record.payload.trace is not None:
            self._traces.settle()
            receipt.traces.append({"sequence": record.payload.sequence, **record.trace.to_wire()})
        return receipt

    def grow(self, num_rows: int) -> None:
        """Make room for more requests."""
        self._account = self._account.grown(num_rows)
        self._label_rows = self._label_rows.grown(num_rows)

    # Steps

    def wants(self, records: Sequence[RequestRecord]) -> bool:
        """Whether a step of these requests must be recorded."""
        is_asked = self._options.keeps_stats or self._options.keeps_traces or any(r.wants_receipt for r in records)
        return self._options.counts and is_asked

    def wants_scores(self, records: Sequence[RequestRecord]) -> bool:
        """Whether a step of these requests must log scores and runners-up."""
        traces = [record.trace for record in records if record.trace is not None]
        return any(trace.options.runner_up or trace.options.probabilities for trace in traces)

    def add(self, step: Step, num_valid_R: Tensor) -> None:
        """Add a step after sampling.

        Args:
            step: What ran.
            num_valid_R: Tokens of each request that stay: its chunk without the rejected drafts.
        """
        log, marks = self._layers.log(step.num_tokens), self._mark(step, num_valid_R)
        if self.stats is not None:
            self._add_stats(step, marks, log, num_valid_R)
        if any(record.wants_receipt for record in step.records):
            self._account.add_steered(marks.row_T, marks.counts_T & marks.steered_T, log.changed_LT)
            summary_T = self._account.summaries_P3[marks.row_T, marks.phase_T]
            self._summaries.add(summary_T, marks.counts_T, log.ids_LTK, log.weights_LTK)
        if any(record.trace is not None for record in step.records):
            self._add_traces(step, marks, log)

    def _mark(self, step: Step, num_valid_R: Tensor) -> _Marks:
        notes, used = self._layers.notes, slice(0, step.num_tokens)
        row_T, position_T = notes.row_T[used].long(), notes.position_T[used]
        counts_T = self._account.take_new(step.row_R.long(), step.start_R, num_valid_R, row_T, position_T)
        return _Marks(
            row_T=row_T,
            position_T=position_T,
            phase_T=notes.phase_T[used].long(),
            steered_T=notes.slot_T[used] != UNSTEERED,
            counts_T=counts_T,
        )

    def _add_stats(self, step: Step, marks: _Marks, log: StepLog, num_valid_R: Tensor) -> None:
        assert self.stats is not None
        label_scripts(
            row_R=step.row_R,
            query_start_R1=step.query_start_R1,
            num_valid_R=num_valid_R.to(torch.int32),
            input_ids_T=step.input_ids_T,
            num_tokens=step.num_tokens,
            rows=self._label_rows,
            table=self._labels,
            out_T=self._script_T,
        )
        self.stats.add(
            group_T=self._account.group_P[marks.row_T],
            script_T=self._script_T[: step.num_tokens].long(),
            phase_T=marks.phase_T,
            counts_T=marks.counts_T,
            ids_LTK=log.ids_LTK,
            weights_LTK=log.weights_LTK,
        )

    def _add_traces(self, step: Step, marks: _Marks, log: StepLog) -> None:
        columns = {
            "counts": marks.counts_T,
            "position": marks.position_T,
            "token_ids": step.input_ids_T[: step.num_tokens],
            "phases": marks.phase_T,
            "steered": marks.steered_T,
            "ids": log.ids_LTK.transpose(0, 1),
            "weights": log.weights_LTK.transpose(0, 1),
        }
        if log.runner_up_LTK is not None and log.scores_LTE is not None:
            columns["runner_up"] = log.runner_up_LTK.transpose(0, 1)
            columns["probabilities"] = log.scores_LTE.transpose(0, 1)
        self._traces.add([record.trace for record in step.records], step.lengths, columns)

    def _finish_trace(self, record: RequestRecord) -> None:
        assert record.trace is not None
        if self._options.keeps_traces:
            self.finished_traces.add(record, group_of(record))
        else:
            self._traces.close(record.trace)


def group_of(record: RequestRecord) -> RequestGroup:
    """Give what a request's tokens are summed under."""
    payload = record.payload
    if payload is None:
        return RequestGroup(NO_SCRIPT, "", "")
    return RequestGroup(payload.script, payload.fingerprint if payload.is_steered else "", payload.tag)


def _to_numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy().copy()
    return array
