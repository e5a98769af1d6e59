"""Runs a command until it ends, or until whoever started this closes its end of our standard input.

`python -m polyglyph.clients.guard COMMAND...`: the command and everything it started are ended together, even when our
parent was killed and could not say so.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

GRACE_S = 30.0
POLL_S = 0.2


def main(command: list[str]) -> int:
    """Run a command in a session of its own; gives its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our parent's
    try:
        while process.poll() is None and not _is_parent_gone():
            pass
    finally:
        _end(process)
    return process.returncode


def _is_parent_gone() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], POLL_S)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
