"""The matrix that expert-parallel load balancers take: selections by layer and expert, all groups together.

`logical_count` is what SGLang's `--init-expert-location FILE.json` reads (`compute_initial_expert_location_metadata`
in srt/eplb/expert_location.py; other keys are left alone), and, as an array, the weight of DeepSeek's EPLB
(`rebalance_experts`). It cannot be read back: the groups are summed away.

Letters: L MoE layers, E experts.
"""

import json
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from polyglyph.contract.sums import Snapshot


def write(snapshot: Snapshot, file: BinaryIO, *, model_layers: Sequence[int] | None = None) -> None:
    """Write the matrix.

    Args:
        snapshot: The sums.
        file: Takes the JSON.
        model_layers: The model's own number of each MoE layer. With it the matrix has a row for every layer of the
            model, zeros for its dense ones, as SGLang counts; without it one per MoE layer.
    """
    header = snapshot.header
    selected_LE = np.zeros((header.layers, header.experts), object)
    for group in snapshot.groups:
        selected_LE += group.selected_LE
    document = {
        **header.model_dump(mode="json", by_alias=True),
        "schema": "polyglyph.eplb/1",
        "model_layers": model_layers and list(model_layers),
        "logical_count": _rows(selected_LE.tolist(), model_layers),
    }
    file.write(json.dumps(document).encode())


def _rows(selected_LE: list[list[int]], model_layers: Sequence[int] | None) -> list[list[int]]:
    if not model_layers:
        return selected_LE
    rows = [[0] * len(selected_LE[0]) for _ in range(max(model_layers) + 1)]
    for layer, counts in zip(model_layers, selected_LE, strict=True):
        rows[layer] = counts
    return rows
