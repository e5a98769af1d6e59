"""Arrays in the page: what its maps are drawn from, deflated, as text.

Letters of shapes: G groups, L MoE layers, E experts, P entries per expert.
"""

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.token_document import shares_together
from polyglyph.analysis.statistics.figure import Missing

KINDS = {"float32": "f4", "uint8": "u1", "uint16": "u2", "uint32": "u4"}
NO_CLUSTER = 255
NUM_PARTNERS = 8
MOST_TOGETHER = 4_000_000
"""Cells of the co-activation matrices that a page holds at most, a byte each."""
SHAVED = np.uint32(0xFFFFFE00)
"""Keeps 14 bits of a float32's fraction, four significant digits, so that intervals and p deflate to half."""

Array = NDArray[Any]


def arrays_of(findings: Findings) -> Iterator[tuple[str, str]]:
    """Give each array's name and text: `kind;shape;base64 of the deflated little-endian bytes`."""
    for name, values in _named(findings):
        yield name, packed(values)


def packed(values: Array) -> str:
    """Give one array as text; float64 becomes float32."""
    array = values.astype("<f4") if values.dtype == np.float64 else values.astype(values.dtype.newbyteorder("<"))
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()
    return f"{KINDS[array.dtype.name]};{','.join(map(str, array.shape))};{data}"


def _named(findings: Findings) -> Iterator[tuple[str, Array]]:
    marks, intervals = findings.marks, findings.intervals
    yield "frequency", findings.source.groups.frequencies_GLE
    yield "low", _shaved(intervals.low_GLE)
    yield "high", _shaved(intervals.high_GLE)
    yield "lift_low", _shaved(intervals.lift_low_GLE)
    yield "lift_high", _shaved(intervals.lift_high_GLE)
    optional = {"lift": marks.lift_GLE, "entropy": marks.entropy_LE, "percentile": marks.percentile_LE}
    for name, values in optional.items():
        if not isinstance(values, Missing):
            yield name, values
    if not isinstance(marks.shared_LE, Missing):
        yield "shared", marks.shared_LE.astype(np.uint8)
    if not isinstance(marks.clusters, Missing):
        yield "cluster", np.where(marks.clusters.member_LE < 0, NO_CLUSTER, marks.clusters.member_LE).astype(np.uint8)
    yield from _pairs(findings)
    yield from _tokens(findings)


def _pairs(findings: Findings) -> Iterator[tuple[str, Array]]:
    if isinstance(findings.pairs.pairs, Missing):
        return
    for index, pair in enumerate(findings.pairs.pairs):
        compared = pair.comparison
        bounds = {"low": compared.low_LE, "high": compared.high_LE, "p": compared.p_LE, "q": compared.q_LE}
        for name, values in bounds.items():
            yield f"pair-{index}-{name}", _shaved(values)


def _tokens(findings: Findings) -> Iterator[tuple[str, Array]]:
    top, together_LEE = findings.tokens.top, findings.tokens.together_LEE
    if not isinstance(top, Missing):
        yield "expert_tokens", top.index_LEP.astype(np.uint32)
        yield "expert_token_counts", top.count_LEP.astype(np.uint32)
        yield "expert_token_shares", top.share_LEP
    if isinstance(together_LEE, Missing):
        return
    share_LEE = shares_together(together_LEE)
    partners_LEP = np.argsort(-share_LEE, axis=2, kind="stable")[:, :, :NUM_PARTNERS]
    yield "partners", partners_LEP.astype(np.uint16)
    yield "partner_share", np.take_along_axis(share_LEE, partners_LEP, axis=2)
    if share_LEE.size <= MOST_TOGETHER:
        yield "together", np.round(255 * share_LEE).astype(np.uint8)


def _shaved(values: Array) -> Array:
    return (values.astype("<f4").view(np.uint32) & SHAVED).view("<f4")
