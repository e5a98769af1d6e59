"""Trace sample: sequences of traces, as many as memory and patience hold, drawn evenly from all.

Letters of shapes: n tokens, L MoE layers, K selected experts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.labelled_run import model_of_traces
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace, labelled_traces
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.contract.plan import PHASES

MOST_TOKENS = 100_000
SEED = 0


@dataclass(frozen=True, eq=False)
class TraceSample:
    """Some sequences.

    Attributes:
        traces: The sequences.
        is_whole: Whether these are all there were.
    """

    traces: Sequence[LabelledTrace]
    is_whole: bool

    @cached_property
    def ids_nLK(self) -> NDArray[Any]:
        """Selected experts of all computed tokens."""
        return np.concatenate([labelled.trace.ids[labelled.trace.computed] for labelled in self.traces])

    @cached_property
    def token_ids_n(self) -> NDArray[Any]:
        """Vocabulary ids of all computed tokens; -1 where the prompt came as embeddings."""
        return np.concatenate([labelled.trace.token_ids[labelled.trace.computed] for labelled in self.traces])

    def labels_n(self, column: str) -> list[str]:
        """Give a label of all computed tokens; empty where a sequence has none of that name."""
        return [value for labelled in self.traces for value in _labels(labelled, column)]


def sample_traces(path: Path, model: ModelShape, *, labels: Path | None = None) -> TraceSample:
    """Read a file or folder of traces, or a labelled run; of more than 100,000 tokens, sequences drawn evenly.

    Raises:
        EvidenceError: It cannot be read, is of another model, or holds no computed token.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise EvidenceError(f"{path}: expected traces, got a folder without any *.parquet file")
    model.check_same(model_of_traces(files[0]), what=str(path))
    sample = thinned(labelled_traces(path, labels))
    if not sample.traces:
        raise EvidenceError(f"{path}: expected traces of some tokens, got none that the engine computed")
    return sample


def thinned(traces: Iterable[LabelledTrace], *, most_tokens: int = MOST_TOKENS) -> TraceSample:
    """Keep sequences; whenever they are too many tokens, half of them go, and of the next ones as many stay."""
    generator = np.random.default_rng(SEED)
    kept: list[LabelledTrace] = []
    share = 1.0
    for labelled in traces:
        if labelled.trace.computed.any() and (share == 1.0 or generator.random() < share):
            kept.append(labelled)
        while len(kept) > 1 and sum(each.trace.num_tokens for each in kept) > most_tokens:
            share /= 2
            kept = [each for each in kept if generator.random() < 0.5] or kept[:1]
    return TraceSample(kept, is_whole=share == 1.0)


def _labels(labelled: LabelledTrace, column: str) -> list[str]:
    trace = labelled.trace
    if column == "script":
        values: Sequence[str] = trace.scripts
    elif column == "phase":
        values = [PHASES[phase] for phase in trace.phases]
    else:
        of_trace = {"sequence": labelled.sequence, "item": labelled.item, "plan": trace.plan, "tag": trace.tag}
        known = {**labelled.labels, **of_trace, "request_script": trace.request_script}
        values = [known.get(column, "")] * trace.num_tokens
    return [value for value, computed in zip(values, trace.computed, strict=True) if computed]
