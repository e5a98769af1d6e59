"""What rules refuse.

RequestError
└── RuleError          examples that teach nothing, or a file that holds no rules
"""

from polyglyph.contract.errors import RequestError


class RuleError(RequestError):
    """Examples that teach a rule nothing, a first pass that showed too little, or a file that holds no rules."""

    code = "invalid_rule"
