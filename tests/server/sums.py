"""Sums of groups for tests: whole selections, and weights that add up without rounding."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr

from polyglyph.contract.model import ModelBinding
from polyglyph.contract.sums import GroupKey, GroupSums, StatsQuery
from polyglyph.server.ledger import Ledger
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import Store, open_store

LAYERS, EXPERTS, TOP_K = 4, 8, 2
# Not the fakes' model: processes that are killed by the dozen should not load a server.
MODEL = ModelBinding(
    architecture="FakeMoeForCausalLM", layers=LAYERS, experts=EXPERTS, top_k=TOP_K, fingerprint="sha256:" + "a" * 64
)
OTHER_MODEL = MODEL.model_copy(update={"fingerprint": "sha256:" + "b" * 64})
Totals = dict[GroupKey, tuple[int, int, int, float]]
KEY = GroupKey("Latn", "Latn", "prompt", "", "")


def key(tag: str = "", **labels: str) -> GroupKey:
    return KEY._replace(tag=tag, **labels)


def sums(tokens: int = 1, key: GroupKey = KEY, *, cached: int = 0, seed: int = 0) -> GroupSums:
    """Give sums of tokens that each selected TOP_K experts in every layer, with weight 1/8."""
    draw = np.random.default_rng(seed)
    selected_LE = draw.multinomial(tokens * TOP_K, np.full(EXPERTS, 1 / EXPERTS), size=LAYERS).astype(np.int64)
    return GroupSums(
        key=key, tokens=tokens, cached_tokens=cached, selected_LE=selected_LE, weight_sum_LE=selected_LE / 8
    )


def totals(groups: Iterable[GroupSums]) -> Totals:
    """Give each group's tokens, cached tokens, selections and weights; every group must conserve."""
    found: Totals = {}
    for group in groups:
        assert group.key not in found, "a key came twice"
        assert group.selected_LE.sum() == TOP_K * LAYERS * group.tokens
        weight = float(group.weight_sum_LE.sum())
        found[group.key] = (group.tokens, group.cached_tokens, int(group.selected_LE.sum()), weight)
    return found


def read(ledger: Ledger, **query: Any) -> Totals:
    with ledger.read(StatsQuery(**query)) as snapshot:
        return totals(snapshot.groups)


def num_tokens(ledger: Ledger, **query: Any) -> int:
    return sum(tokens for tokens, *_ in read(ledger, **query).values())


def open_at(folder: Path, url: SecretStr | None = None, *, busy_timeout_s: float = 0.1) -> Store:
    return open_store(address_of(data_dir=folder, store_url=url), busy_timeout_s=busy_timeout_s)


def make_ledger(store: Store, **settings: Any) -> Ledger:
    model = settings.pop("model", MODEL)
    return Ledger(store, model, versions={"polyglyph": "test"}, **settings)
