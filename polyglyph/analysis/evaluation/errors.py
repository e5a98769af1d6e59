"""What can go wrong with an evaluation, in the user's words.

PolyglyphError
├── RequestError
│   └── EvaluationRefusedError     an evaluation that cannot be run as asked; nothing was sent
│       ├── BenchmarkError         a file that is no benchmark, or items that cannot be asked
│       ├── PlanSetError           plans that do not cover what is asked
│       ├── ArmError               an arm that this benchmark, server or plan set cannot have
│       └── RunFolderError         an output folder that holds something else
└── EvaluationFailedError          a run that could not go on; what was answered is kept
    └── UnsteeredAnswerError       an answer that was not steered as asked
"""

from polyglyph.contract.errors import PolyglyphError, RequestError


class EvaluationRefusedError(RequestError):
    """An evaluation that cannot be run as asked; nothing was sent."""

    code = "invalid_evaluation"


class BenchmarkError(EvaluationRefusedError):
    """A file that is no benchmark, or items that cannot be asked; the text names file and line."""


class PlanSetError(EvaluationRefusedError):
    """Plans that do not cover what is asked; the text names the pair and what there is."""


class ArmError(EvaluationRefusedError):
    """An arm that this benchmark, server or plan set cannot have."""


class RunFolderError(EvaluationRefusedError):
    """An output folder that holds something else, or another run."""


class EvaluationFailedError(PolyglyphError):
    """A run that could not go on; every answer that came is kept."""


class UnsteeredAnswerError(EvaluationFailedError):
    """An answer that was not steered as asked, so that nothing measured on it would be true."""
