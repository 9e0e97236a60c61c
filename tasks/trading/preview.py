"""What a cycle would do, told without doing it: nothing is written, nothing is sent."""

from __future__ import annotations

from typing import Any

from infra.postgres.models import Signal
from tasks.trading import control, execution
from tasks.trading.execution import Executor
from tasks.trading.plan import plan, refusal
from tasks.trading.report import Report
from tasks.trading.risk.situation import situation


def preview(executor: Executor) -> Report:
    """Return what would be entered and what not, and why.

    Parameters
    ----------
    executor : Executor
    """
    report = Report()
    stopped = execution.stopped(executor)
    if stopped is not None:
        report.finding(f"nothing is entered: {stopped}")
    for signal in execution.fresh(executor):
        with report.each(f"{signal.pair}: its signal waits"):
            reason, detail = _judged(executor, signal)
            row = {"signal": signal.id, "pair": signal.pair, "bar": signal.bar_ts.isoformat()}
            row |= {"side": signal.side, **detail}
            if reason is None:
                report.entered.append(row)
            else:
                report.refused.append({**row, "reason": reason})
    return report


def _judged(executor: Executor, signal: Signal) -> tuple[str | None, dict[str, Any]]:
    now = executor.clock.now()
    halted = control.present(executor.account, now).halted_pairs.get(signal.pair)
    reason = halted or refusal(signal) or control.refuse_pair(executor.broker, signal.pair)
    if reason is not None:
        return reason, {}
    known = situation(executor.account, executor.broker, [signal.pair], executor.limits, now)
    thought = plan(signal, known, executor.limits, executor.sizing)
    order = {name: str(value) for name, value in thought.order.items()}
    return thought.refusal, order
