"""The exit codes of the command line, documented in docs/cli.md."""

from enum import IntEnum

from polyglyph.clients.errors import AnswerError, MissingDependencyError, ServerUnreachableError, UnwritableFileError
from polyglyph.contract.errors import PolyglyphError, RequestError, StartupError


class ExitCode(IntEnum):
    """What a command's exit says."""

    OK = 0
    CHECK_FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    SERVER_FAILED = 4
    NOT_INSTALLED = 5
    NOT_STARTED = 6


def exit_code_of(error: PolyglyphError) -> ExitCode:
    """Give the exit code of an error that ends a command."""
    if isinstance(error, RequestError) and error.status >= 500:
        return ExitCode.SERVER_FAILED
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.CHECK_FAILED


_CODES: tuple[tuple[type[PolyglyphError], ExitCode], ...] = (
    (AnswerError, ExitCode.SERVER_FAILED),
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (MissingDependencyError, ExitCode.NOT_INSTALLED),
    (StartupError, ExitCode.NOT_STARTED),
    (UnwritableFileError, ExitCode.REFUSED),
    (RequestError, ExitCode.REFUSED),
)
