"""Stats made for tests: by hand, and drawn by hypothesis; every one conserves its selections."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.plan import PHASES
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums

FINGERPRINT = "sha256:" + "a" * 64
PLAN = "sha256:" + "b" * 64
SCRIPTS = ("Arab", "Cyrl", "Deva", "Hani", "Latn", "Zyyy")


def make_header(**fields: Any) -> StatsHeader:
    document = {
        "model_fingerprint": FINGERPRINT,
        "layers": 4,
        "experts": 8,
        "top_k": 2,
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-01-01T00:00:01+00:00",
        "versions": {"polyglyph": "0.1.0"},
    }
    return StatsHeader.model_validate(document | fields)


def make_group(header: StatsHeader, *, seed: int = 0, tokens: int = 5, cached_tokens: int = 1, **key: str) -> GroupSums:
    """Give a group whose tokens select at random."""
    labels = {"request_script": "Cyrl", "script": "Latn", "phase": "prompt", "plan": "", "tag": ""}
    selected_LE = spread(header, tokens=tokens, seed=seed)
    return GroupSums(
        key=GroupKey(**labels | key),
        tokens=tokens,
        cached_tokens=cached_tokens,
        selected_LE=selected_LE,
        weight_sum_LE=selected_LE * np.random.default_rng(seed).random(selected_LE.shape),
    )


def spread(header: StatsHeader, *, tokens: int, seed: int) -> np.ndarray:
    """Spread each layer's selections over its experts; the sum is exact, however many there are."""
    rng = np.random.default_rng(seed)
    total = tokens * header.top_k
    counts = np.zeros((header.layers, header.experts), np.int64)
    for layer in range(header.layers):
        cuts = sorted(int(share * total) for share in rng.random(header.experts - 1))
        edges = [0, *(min(cut, total) for cut in cuts), total]
        counts[layer] = np.diff(np.array(edges, object)).astype(np.int64)
    return counts


def make_stats(*groups: GroupSums, **header: Any) -> LoadedStats:
    return LoadedStats(header=make_header(**header), groups=groups)


def some_stats(**header: Any) -> LoadedStats:
    """Give three groups."""
    head = make_header(**header)
    groups = (
        make_group(head, seed=1, tokens=7),
        make_group(head, seed=2, tokens=3, phase="answer", plan=PLAN, tag="exp-a"),
        make_group(head, seed=3, tokens=11, request_script="Zzzz", script="Zzzz", tag="overflow"),
    )
    return LoadedStats(header=head, groups=tuple(sorted(groups, key=lambda group: group.key)))


KEYS = st.builds(
    GroupKey,
    request_script=st.sampled_from(SCRIPTS),
    script=st.sampled_from(SCRIPTS),
    phase=st.sampled_from(PHASES),
    plan=st.sampled_from(["", PLAN]),
    tag=st.from_regex(r"\A[A-Za-z0-9._:-]{0,64}\Z"),
)
HEADERS = st.builds(
    make_header,
    layers=st.integers(1, 4),
    experts=st.integers(1, 6),
    top_k=st.integers(1, 3),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@st.composite
def stats(draw: st.DrawFn, *, header: st.SearchStrategy[StatsHeader] = HEADERS, max_tokens: int = 2**58) -> LoadedStats:
    """Draw stats: any shape down to 1 x 1, none to some groups, up to counts near int64's end."""
    head = draw(header)
    keys: Sequence[GroupKey] = draw(st.lists(KEYS, max_size=4, unique=True))
    groups = [
        make_group(
            head,
            seed=draw(st.integers(0, 2**32)),
            tokens=draw(st.integers(0, 50) | st.integers(0, max_tokens)),
            cached_tokens=draw(st.integers(0, max_tokens)),
            **key._asdict(),
        )
        for key in keys
    ]
    return LoadedStats(header=head, groups=tuple(groups))
