"""A program that ingests in child processes and kills them in the middle, as a power cut would.

It reads one order a line from stdin, JSON, and answers each with the exit codes of its children,
one for each request.
Imports are paid once: children are forked from a process in which nothing has run yet.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from pandera.backends.polars import builtin_checks

import tasks.intake.candles
from infra.sources import oanda
from infra.stores.removals import Wanted, remove, undo
from tasks.folder import bar_store
from tasks.ingest import fetch_rows, store_rows, validate_rows
from tasks.intake.candles import begin_at
from tasks.intake.request import IngestRequest

EARLY = (builtin_checks,)
"""What the first validation would import in each child, and Hypothesis with it."""


def ingest(request: IngestRequest, folder: str) -> list[dict[str, Any]]:
    """Take a request through the steps of the flow, without Prefect; its source names the run."""
    after: str | None = None
    stored = []
    if request.source == "oanda":
        begun = datetime.fromisoformat(begin_at(request))
        request = request.model_copy(update={"start": begun})
    while True:
        fetched = fetch_rows(request, folder, after)
        validated = validate_rows(fetched, timeframe=request.timeframe)
        stored.append(store_rows(validated, request, run_id=request.name))
        if (after := fetched["next"]) is None:
            return stored


def take_back(removal: dict[str, Any]) -> None:
    """Remove the bars that `Wanted` tells, or undo the newest removal."""
    if removal.pop("undo", False):
        undo(bar_store())
    else:
        remove(bar_store(), Wanted(**removal), who="a test")


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        gate, opened = os.pipe()
        children = [_child(order, n, gate, opened) for n in range(len(order["requests"]))]
        os.close(gate)
        os.close(opened)
        if order.get("seconds") is not None:
            time.sleep(order["seconds"])
            os.kill(children[0], signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def _child(order: dict[str, Any], number: int, gate: int, opened: int) -> int:
    """Fork a child that begins as soon as all others may."""
    child = os.fork()
    if child:
        return child
    os.close(opened)
    os.read(gate, 1)
    try:
        _obey(order, order["requests"][number], f"{order['folder']}/{number}")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _obey(order: dict[str, Any], request: dict[str, Any], folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    if order.get("page"):  # a small page, and each a part of its own
        oanda.PAGE = order["page"]  # type: ignore[misc]
        tasks.intake.candles.PAGES = 1  # type: ignore[misc]
    calls: list[str] = []
    if order.get("call") or order.get("calls"):
        sys.setprofile(_watch(calls, order.get("call"), order.get("bytes")))
    if order.get("removal"):
        take_back(order["removal"])
    else:
        ingest(IngestRequest.model_validate(request), folder)
    sys.setprofile(None)
    if order.get("calls"):
        Path(order["calls"]).write_text("\n".join(calls))


def _watch(
    calls: list[str], last: int | None, size: int | None
) -> Callable[[FrameType, str, Any], None]:
    """Note each call, or die at the one of a number; with a size in a file that becomes larger."""
    number = count(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def told(frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_call"):
            return
        if next(number) == last:
            _die(size)
        if last is None and event == "call":
            calls.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}")
        elif last is None:
            calls.append(f"{argument.__module__}.{argument.__name__}")

    return told


def _die(size: int | None) -> None:
    """Die now, or while a file grows beyond a size."""
    if size is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


if __name__ == "__main__":
    main()
