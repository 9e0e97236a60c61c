"""Rounds of exits, one after the other, until it is asked to end; a line for what each did.

Nothing that goes wrong in a round ends it: the next one tries again.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from deployments.exits import beat_path
from deployments.sep.closing import lines
from infra.clock import WallClock
from infra.settings import settings
from tasks.trading.lease import LeaseHeld
from tasks.trading.rounds import accounts, executor_of, exits

_said: dict[str, str] = {}
"""What was said last of an account: what stays so is not said again."""


def main() -> None:
    """Make rounds until SIGTERM; one that is under way ends first."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    say("begins")
    while not ended.is_set():
        with suppress(OSError):  # a disk that is full or read-only keeps no trade open
            beat_path(settings().home).touch()
        make_round()
        ended.wait(settings().exits_seconds)
    say("ends")


def make_round() -> None:
    """Make one round for each account; the trouble of one is not that of another."""
    try:
        names = accounts(settings())
    except Exception as error:
        say_once("", told(error))
        return
    for name in names:
        try:
            report = exits(executor_of(settings(), name, WallClock()), "timer")
        except LeaseHeld:
            continue  # another makes the same round
        except Exception as error:
            say_once(name, told(error))
            continue
        if report.left:
            say(f"{name}: {'; '.join(lines(report))}")
        say_once(name, "; ".join(report.findings) or "all is well")


def say_once(account: str, line: str) -> None:
    """Write a line unless it was the last one of the account.

    Parameters
    ----------
    account, line : str
    """
    if _said.get(account) != line:
        _said[account] = line
        say(f"{account}: {line}" if account else line)


def say(line: str) -> None:
    """Write a line with the time."""
    with suppress(OSError):  # the same
        sys.stdout.write(f"{WallClock().now():%Y-%m-%d %H:%M:%S} {line}\n")
        sys.stdout.flush()


def told(error: Exception) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


if __name__ == "__main__":
    main()
