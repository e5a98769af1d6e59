"""A server's side of the store in a process that is killed: counts, flushes, and says what was acknowledged."""

import os
import sys
from pathlib import Path

from pydantic import SecretStr

from tests.server.sums import key, make_ledger, open_at, sums


def main(folder: str, url: str) -> None:
    """Count one token at a time in one of three groups, until killed.

    Prints `sent N` before the Nth token is counted and `flushed N` when the store has acknowledged N.
    """
    ledger = make_ledger(open_at(Path(folder), SecretStr(url) if url else None, busy_timeout_s=30))
    number = 0
    while True:
        for _ in range(number % 7):
            number += 1
            say("sent", number)
            ledger.add([sums(1, key(f"t{number % 3}"), seed=number)])
        number += 1
        say("sent", number)
        ledger.add([sums(1, seed=number)])
        ledger.flush()
        say("flushed", number)


def say(word: str, number: int) -> None:
    """Print a line with one system call, so that a kill leaves the whole line or nothing."""
    os.write(1, f"{word} {number}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
