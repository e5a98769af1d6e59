"""Batches: examples side by side, padded on the right.

Letters of shapes: B rows, S tokens of a row, T = B x S tokens, N targets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.analysis.offline.examples import Example


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples as tensors.

    Attributes:
        indices: Which examples they are.
        ids_BS: int64 token ids, padded with 0.
        attention_BS: int64, 1 where there is a token.
    """

    indices: tuple[int, ...]
    ids_BS: Tensor
    attention_BS: Tensor

    @property
    def real_T(self) -> Tensor:
        """Whether each token of the flattened batch is none of the padding."""
        return self.attention_BS.flatten().bool()


def batch_of(examples: Sequence[Example], indices: Sequence[int], device: torch.device) -> Batch:
    """Put examples side by side.

    Args:
        examples: All of them.
        indices: Which ones.
        device: Where the model is.
    """
    longest = max(len(examples[index].ids) for index in indices)
    ids_BS = torch.zeros((len(indices), longest), dtype=torch.int64)
    attention_BS = torch.zeros_like(ids_BS)
    for row, index in enumerate(indices):
        ids = torch.tensor(examples[index].ids)
        ids_BS[row, : len(ids)], attention_BS[row, : len(ids)] = ids, 1
    return Batch(tuple(indices), ids_BS.to(device), attention_BS.to(device))


def batches_of(examples: Sequence[Example], *, batch_tokens: int, device: torch.device) -> Iterator[Batch]:
    """Give all examples in batches of like lengths; every example has a row to itself.

    Args:
        examples: In any order.
        batch_tokens: Most tokens of a batch, padding included; a longer example is a batch of its own.
        device: Where the model is.
    """
    rows: list[int] = []
    for index in sorted(range(len(examples)), key=lambda each: len(examples[each].ids)):
        if rows and (len(rows) + 1) * len(examples[index].ids) > batch_tokens:
            yield batch_of(examples, rows, device)
            rows = []
        rows.append(index)
    if rows:
        yield batch_of(examples, rows, device)


def targets_of(batch: Batch, examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Give where the next token is one of a completion.

    Args:
        batch: Some of the examples.
        examples: All of them.

    Returns:
        Places [N] in the flattened batch, their next tokens [N], and the row of each [N]; int64 on the batch's device.
    """
    width = batch.ids_BS.shape[1]
    places, rows = [], []
    for row, index in enumerate(batch.indices):
        example = examples[index]
        given = range(max(example.num_prompt, 1) - 1, len(example.ids) - 1)
        places += [row * width + place for place in given]
        rows += [row] * len(given)
    place_N = torch.tensor(places, dtype=torch.int64, device=batch.ids_BS.device)
    return place_N, batch.ids_BS.flatten()[place_N + 1], torch.tensor(rows, device=batch.ids_BS.device)
