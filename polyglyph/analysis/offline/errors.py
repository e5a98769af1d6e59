"""What an offline pass refuses.

RequestError
└── OfflineError                     what was given cannot be read, run or tuned offline
    ├── UnreadableModelError         a model whose routers or experts cannot be told apart
    └── TuningCheckpointError        a checkpoint that belongs to another tuning, or is damaged
"""

from polyglyph.contract.errors import RequestError


class OfflineError(RequestError):
    """A model, texts or options that an offline pass cannot use."""

    code = "invalid_offline"


class UnreadableModelError(OfflineError):
    """A model whose routers or experts transformers hides."""

    code = "unreadable_model"


class TuningCheckpointError(OfflineError):
    """A checkpoint of another tuning, or a damaged one."""

    code = "invalid_checkpoint"
