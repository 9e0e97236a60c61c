"""A program whose children make rounds of an executor, and kill themselves in the middle of one.

It reads one order a line from stdin, JSON, and answers each with its child's exit code.
Imports are paid once: children are forked from a process in which nothing has run yet.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydantic import SecretStr

from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.simulator.server import ACCOUNT
from infra.clock import VirtualClock
from tasks.trading.execution import Executor, cycle
from tasks.trading.lease import LeaseHeld, acquire
from tests.tasks.trading.world import WIDE

FLYING: Final = 0.25
"""Seconds after it was about to be sent: by then the request is there, and no answer is."""


def rounds(order: dict[str, Any]) -> None:
    """Make a round at each of the times of an order, as one process."""
    for number, now in enumerate(order["times"]):
        clock = VirtualClock(datetime.fromisoformat(now))
        broker = OandaBroker(SecretStr(order["token"]), order["url"], ACCOUNT, clock)
        executor = Executor(
            order["account"],
            broker,
            clock,
            WIDE,
            WIDE.sizing,
            reached=_dying(order.get("die", "")),
        )
        try:
            lease = acquire(f"execute:{order['account']}", f"{os.getpid()}-{number}", clock)
        except LeaseHeld:
            continue
        cycle(executor, lease)
        lease.release()


def _dying(at: str) -> Callable[[str], None]:
    def reached(step: str) -> None:
        if step == at:
            _kill()
        if at == "flying" and step == "sent":
            threading.Timer(FLYING, _kill).start()

    return reached


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _obey(json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


def _obey(order: dict[str, Any]) -> None:
    try:
        rounds(order)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
