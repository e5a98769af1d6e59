"""What a reproduction refuses.

RequestError
└── ReproductionError   a name that is none, a model that is no organism, or a folder that holds records already
"""

from polyglyph.contract.errors import RequestError


class ReproductionError(RequestError):
    """A reproduction that cannot be run as asked."""

    code = "invalid_reproduction"
