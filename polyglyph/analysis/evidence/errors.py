"""What evidence refuses.

RequestError
└── EvidenceError          stats, traces, labels or groups that nothing can be computed from
"""

from polyglyph.contract.errors import RequestError


class EvidenceError(RequestError):
    """Evidence that does not fit together or does not hold what is asked of it; says what to do."""

    code = "invalid_evidence"
