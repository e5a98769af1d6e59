"""Engines that wait: while another one is measured, their queues must not spin."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Group:
    """A command and all processes that it starts, stopped but while they are used.

    Args:
        command: With its arguments.
        environment: On top of this process's.
        options: For `subprocess.Popen`.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], **options: Any) -> None:
        # A group, whose processes are stopped together, and end with this one should it be killed.
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, process_group=0, **options)

    def stop(self) -> None:
        """Let none of them run."""
        self._send(signal.SIGSTOP)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them run for a while."""
        self._send(signal.SIGCONT)
        try:
            yield
        finally:
            self._send(signal.SIGSTOP)

    def end(self) -> None:
        """End them for good, as they would at a terminal's end."""
        self._send(signal.SIGCONT)
        if self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self.process.terminate()
        self.process.wait(60)

    def _send(self, what: signal.Signals) -> None:
        os.killpg(self.process.pid, what)
