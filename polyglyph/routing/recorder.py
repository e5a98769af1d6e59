"""What is recorded of the steps: stats of all tokens, and the account, summary and trace of requests that asked.

Letters: P request rows, R requests of a step, T tokens of a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polyglyph.contract.steering import TraceOptions
from polyglyph.kernels.choice import implementation
from polyglyph.kernels.label_scripts import EMPTY, LabelRows, LabelTable, run, seed
from polyglyph.kernels.tally import Account, TallyStep, TokenLog
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


@dataclass(frozen=True, eq=False)
class Batch:
    """Requests that are scheduled together, as most steps have those of the step before, and what they need.

    Attributes:
        req_ids: In batch order.
        records: Likewise.
        row_R: int32 rows, likewise.
        is_steered: Somebody is steered.
        is_logged: The step is recorded.
        is_scored: Somebody's trace keeps scores or runners-up.
        has_receipts: Somebody's account or summary will be read.
        has_traces: Somebody is traced.
    """

    req_ids: Sequence[str]
    records: Sequence[RequestRecord]
    row_R: Tensor
    is_steered: bool
    is_logged: bool
    is_scored: bool
    has_receipts: bool
    has_traces: bool


@dataclass(eq=False, kw_only=True)
class Step(TallyStep):
    """One step of the engine; see `TallyStep`.

    Attributes:
        batch: Its requests.
        num_scheduled: Tokens of each request, on the host; rejected drafts included.
        input_ids_T: Token ids.
    """

    batch: Batch
    num_scheduled: Mapping[str, int]
    input_ids_T: Tensor


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
        self._log = TokenLog(
            notes=layers.notes,
            script_T=torch.zeros_like(layers.notes.row_T, dtype=torch.uint8),
            ids_LTK=layers.ids_LTK,
            weights_LTK=layers.weights_LTK,
            changed_LT=layers.changed_LT,
        )
        # Found once: what a step does in Python is most of what it costs.
        self._label_scripts = implementation("label_scripts", device).label_scripts
        self._tally = implementation("tally", device).tally
        self._counts_T = torch.zeros_like(layers.notes.row_T, dtype=torch.bool)
        self._summaries = Summaries(max_num_reqs, *sizes, device)
        self._traces = TraceRecorder(TraceShape(*sizes, layers.top_k), device=device, max_bytes=options.max_trace_bytes)
        self.finished_traces = FinishedTraces(self._traces)
        self.stats: StatsRecorder | None = None
        if options.counts and options.keeps_stats:
            self.stats = StatsRecorder(num_layers=sizes[0], num_experts=sizes[1], scripts=labels.scripts, device=device)

    def warm_up(self) -> None:
        """Compile what a request's start needs, so that none waits for it."""
        if self.stats is not None:
            run(self._host_labels, [])

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
        if num_computed == 0:
            seed(self._label_rows, record.row, EMPTY)
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

    def batch_of(self, req_ids: Sequence[str], records: Sequence[RequestRecord], row_R: Tensor) -> Batch:
        """Find out what a step of these requests needs.

        Args:
            req_ids: The requests in batch order.
            records: Likewise.
            row_R: int32 rows, likewise.
        """
        is_logged = self._wants(records)
        return Batch(
            req_ids=list(req_ids),
            records=records,
            row_R=row_R,
            is_steered=any(record.slot_key is not None for record in records),
            is_logged=is_logged,
            is_scored=is_logged and _wants_scores(records),
            has_receipts=any(record.wants_receipt for record in records),
            has_traces=any(record.trace is not None for record in records),
        )

    def _wants(self, records: Sequence[RequestRecord]) -> bool:
        is_asked = self._options.keeps_stats or self._options.keeps_traces or any(r.wants_receipt for r in records)
        return self._options.counts and is_asked

    def add(self, step: Step) -> None:
        """Add a step after sampling."""
        if self.stats is not None:
            self._label_scripts(
                row_R=step.row_R,
                query_start_R1=step.query_start_R1,
                num_valid_R=step.num_valid_R,
                input_ids_T=step.input_ids_T,
                num_tokens=step.num_tokens,
                rows=self._label_rows,
                table=self._labels,
                out_T=self._log.script_T,
            )
        self._tally(
            step,
            self._log,
            account=self._account,
            interval=self.stats.running if self.stats is not None else None,
            summaries=self._summaries.sums if step.batch.has_receipts else None,
            counts_T=self._counts_T,
            has_receipts=step.batch.has_receipts,
        )
        if step.batch.has_traces:
            self._add_traces(step, self._layers.log(step.num_tokens))

    def _add_traces(self, step: Step, log: StepLog) -> None:
        used, notes = slice(0, step.num_tokens), self._layers.notes
        columns = {
            "counts": self._counts_T[used],
            "position": notes.position_T[used],
            "token_ids": step.input_ids_T[used],
            "phases": notes.phase_T[used],
            "steered": notes.slot_T[used] != UNSTEERED,
            "ids": log.ids_LTK.transpose(0, 1),
            "weights": log.weights_LTK.transpose(0, 1),
        }
        if log.runner_up_LTK is not None and log.scores_LTE is not None:
            columns["runner_up"] = log.runner_up_LTK.transpose(0, 1)
            columns["probabilities"] = log.scores_LTE.transpose(0, 1)
        lengths = [step.num_scheduled[req_id] for req_id in step.batch.req_ids]
        self._traces.add([record.trace for record in step.batch.records], lengths, columns)

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


def _wants_scores(records: Sequence[RequestRecord]) -> bool:
    traces = [record.trace for record in records if record.trace is not None]
    return any(trace.options.runner_up or trace.options.probabilities for trace in traces)


def _to_numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy().copy()
    return array
