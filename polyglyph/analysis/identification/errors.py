"""What an identification refuses.

RequestError
└── IdentificationError     evidence or options that experts cannot be identified from
    ├── NothingChosenError  a plan or an expert set was asked for, and no expert was chosen
    └── UnboundPlanError    a plan was asked for, and the evidence does not say of which model
"""

from polyglyph.contract.errors import RequestError


class IdentificationError(RequestError):
    """Evidence or options that experts cannot be identified from."""

    code = "invalid_identification"


class NothingChosenError(IdentificationError):
    """No expert was chosen, so there is nothing to write as a plan or an expert set."""

    code = "nothing_chosen"


class UnboundPlanError(IdentificationError):
    """The evidence does not say which architecture it is of, so a plan cannot be bound to the model."""

    code = "unbound_plan"
