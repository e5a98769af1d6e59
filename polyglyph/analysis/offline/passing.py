"""The pass: a model run over examples, and what its routers decided for every token.

Letters of shapes: T tokens, E experts, K selected, H hidden size, L MoE layers, N examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyglyph.analysis.offline.batch import Batch, batches_of
from polyglyph.analysis.offline.examples import Example
from polyglyph.analysis.offline.expert_outputs import OutputSizes
from polyglyph.analysis.offline.offline_model import OfflineModel
from polyglyph.analysis.offline.recording import LayerRecord, recording

BATCH_TOKENS = 2048


@dataclass(frozen=True, eq=False)
class Passed:
    """One batch of examples after the model ran over it, padding left out.

    Attributes:
        example_T: int64, which example each token belongs to; tokens of one are together and in order.
        ids_T: int64 token ids.
        layers: What each MoE layer did, in order; their rows are these tokens.
        logits_TV: The model's own logits of the next token.
    """

    example_T: Tensor
    ids_T: Tensor
    layers: tuple[LayerRecord, ...]
    logits_TV: Tensor


@torch.no_grad()
def pass_over(
    model: OfflineModel, examples: Sequence[Example], *, batch_tokens: int = BATCH_TOKENS
) -> Iterator[Passed]:
    """Run a model over examples.

    Args:
        model: The model.
        examples: Every one is a sequence of its own.
        batch_tokens: Most tokens of a batch, padding included.
    """
    for batch in batches_of(examples, batch_tokens=batch_tokens, device=model.device):
        with recording(model.layers) as recorded:
            logits_BSV = model.model(input_ids=batch.ids_BS, attention_mask=batch.attention_BS, use_cache=False).logits
        yield _without_padding(batch, recorded.take(), logits_BSV)


@dataclass(frozen=True, eq=False)
class Selections:
    """How often each expert was selected, example by example.

    Attributes:
        tokens_N: int64 tokens.
        selected_NLE: int64 selections.
    """

    tokens_N: NDArray[np.int64]
    selected_NLE: NDArray[np.int64]

    @property
    def frequencies_LE(self) -> NDArray[np.float64]:
        """Share of all tokens that selected each expert, float64."""
        frequencies_LE: NDArray[np.float64] = self.selected_NLE.sum(axis=0) / self.tokens_N.sum()
        return frequencies_LE


def count_selections(
    model: OfflineModel, examples: Sequence[Example], *, batch_tokens: int = BATCH_TOKENS
) -> Selections:
    """Count the experts that every example's tokens select."""
    shape = (len(examples), model.binding.layers, model.binding.experts)
    selected_NLE = torch.zeros(shape, dtype=torch.int64)
    for passed in pass_over(model, examples, batch_tokens=batch_tokens):
        for layer, record in enumerate(passed.layers):
            example_TK = passed.example_T[:, None].expand_as(record.ids_TK)
            ones = torch.ones_like(example_TK, device="cpu")
            selected_NLE[:, layer].index_put_((example_TK.cpu(), record.ids_TK.cpu()), ones, accumulate=True)
    tokens_N = np.asarray([len(example.ids) for example in examples], dtype=np.int64)
    return Selections(tokens_N, selected_NLE.numpy())


def measure_outputs(
    model: OfflineModel, examples: Sequence[Example], *, batch_tokens: int = BATCH_TOKENS
) -> OutputSizes:
    """Measure every expert's outputs over all tokens routed to it."""
    sizes = OutputSizes(model.binding.layers, model.binding.experts)
    for passed in pass_over(model, examples, batch_tokens=batch_tokens):
        for layer, record in zip(model.layers, passed.layers, strict=True):
            sizes.add(layer, record.hidden_TH, record.ids_TK)
    return sizes


def _without_padding(batch: Batch, records: Sequence[LayerRecord], logits_BSV: Tensor) -> Passed:
    real_T = batch.real_T
    example_BS = torch.tensor(batch.indices, device=real_T.device)[:, None].expand_as(batch.ids_BS)
    return Passed(
        example_T=example_BS.flatten()[real_T],
        ids_T=batch.ids_BS.flatten()[real_T],
        layers=tuple(record.only(real_T) for record in records),
        logits_TV=logits_BSV.flatten(0, 1)[real_T],
    )
