"""Stats of a large model, made up: scripts with experts of their own in early and late layers, and shared middle ones.

`python -m tests.support.many_experts big.parquet --tokens 1000000000` writes a file to measure `polyglyph analyze` on.

Letters of shapes: L MoE layers, E experts.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.writing import save_stats
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import COLUMNS, GroupKey, GroupSums

SCRIPTS = ("Arab", "Cyrl", "Deva", "Geor", "Grek", "Hani", "Latn", "Thai")
OWN = 0.03
"""Share of a layer's experts that prefer one script."""


def many_experts(
    *,
    layers: int = 48,
    experts: int = 128,
    top_k: int = 8,
    scripts: tuple[str, ...] = SCRIPTS,
    tokens: int = 10**9,
    seed: int = 0,
) -> LoadedStats:
    """Give stats with as many tokens of each script, in which selections are tokens x layers x top-k exactly."""
    random = np.random.default_rng(seed)
    common_LE = random.normal(0, 0.8, (layers, experts))
    depth_L1 = np.abs(np.linspace(-1, 1, layers))[:, None]
    groups = []
    for script in scripts:
        is_own_LE = random.random((layers, experts)) < OWN
        logit_LE = common_LE + random.normal(0, 0.3, (layers, experts)) + 3.2 * depth_L1 * is_own_LE
        share_LE = np.exp(logit_LE) / np.exp(logit_LE).sum(axis=1, keepdims=True)
        selected_LE = np.stack([whole(share_E, tokens, top_k) for share_E in share_LE])
        key = GroupKey(script, script, "prompt", "", "")
        weights_LE = selected_LE / top_k
        groups.append(
            GroupSums(key=key, tokens=tokens, cached_tokens=0, selected_LE=selected_LE, weight_sum_LE=weights_LE)
        )
    header = StatsHeader(
        model_fingerprint="sha256:" + "c" * 64,
        layers=layers,
        experts=experts,
        top_k=top_k,
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T00:00:00Z",
        versions={},
        by=COLUMNS,
    )
    return LoadedStats(header=header, groups=tuple(groups))


def whole(share_E: "np.ndarray[Any, Any]", tokens: int, top_k: int) -> "np.ndarray[Any, Any]":
    """Give whole counts of about these shares that add up to k per token, none above the tokens."""
    selected_E = np.minimum(np.floor(share_E * tokens * top_k), tokens).astype(np.int64)
    spare = tokens * top_k - int(selected_E.sum())
    for expert in np.argsort(-share_E, kind="stable"):
        added = min(spare, tokens - int(selected_E[expert]))
        selected_E[expert] += added
        spare -= added
    return selected_E


def main() -> None:
    """Write a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tokens", type=int, default=10**9)
    arguments = parser.parse_args()
    save_stats(many_experts(tokens=arguments.tokens).snapshot(), arguments.file, format="parquet")


if __name__ == "__main__":
    main()
