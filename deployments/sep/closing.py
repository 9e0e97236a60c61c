"""Exits on the command line: a round of them, or everything closed at once."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.panel import confirm
from deployments.sep.switches import user
from infra.brokers.broker import Broker, BrokerError, Trade
from infra.clock import Clock, WallClock
from infra.settings import settings
from tasks.trading import accept as acceptance
from tasks.trading import control
from tasks.trading.brokers import account_of, broker_of
from tasks.trading.flatten import Flattened, Plan, quiet
from tasks.trading.flatten import flatten as close_all
from tasks.trading.flatten import plan as make_plan
from tasks.trading.journal import Journal
from tasks.trading.lease import LeaseHeld
from tasks.trading.orders import Desk
from tasks.trading.reconcile import reconcile
from tasks.trading.report import Report
from tasks.trading.rounds import accounts, executor_of, holder, leased
from tasks.trading.rounds import exits as make_round


def exits(console: Console, account: str | None) -> int:
    """Make a round for an account, or for all that are looked after; 1 if something needs a look.

    Parameters
    ----------
    console : rich.console.Console
    account : str or None
    """
    chosen, clock, findings = settings(), WallClock(), 0
    for name in [account] if account else accounts(chosen):
        try:
            report = make_round(executor_of(chosen, name, clock), "sep exits")
        except LeaseHeld as error:
            console.print(f"{escape(name)}: {escape(str(error))}", soft_wrap=True)
            continue
        show(console, name, report)
        findings += len(report.findings)
    return int(findings > 0)


def show(console: Console, account: str, report: Report) -> None:
    """Say what a round did.

    Parameters
    ----------
    console : rich.console.Console
    account : str
    report : Report
    """
    for line in lines(report) or ["nothing was due, every stop is at the broker"]:
        console.print(f"{escape(account)}: {escape(line)}", soft_wrap=True)


def lines(report: Report) -> list[str]:
    """Return a sentence for each thing that was done or found."""
    rows = [
        (what, row)
        for what, listed in (("left", report.left), ("entered", report.entered))
        for row in listed
    ]
    done = [f"{what} " + ", ".join(f"{k} {v}" for k, v in row.items()) for what, row in rows]
    return done + report.findings


def accept(console: Console, account: str | None, *, why: str, yes: bool) -> int:
    """Say how journal and broker disagree, ask, and go on from where the broker stands.

    Parameters
    ----------
    console : rich.console.Console
    account : str or None
    why : str
    yes : bool
        Whether nothing is asked.
    """
    chosen, clock = settings(), WallClock()
    name = account or account_of(chosen)
    broker = broker_of(chosen, name, clock)
    with leased(name, holder("sep accept")) as lease:
        desk = Desk(Journal(name, lease, clock), broker)
        mismatch = reconcile(desk).mismatch
        if mismatch is None:
            console.print("journal and broker agree: there is nothing to accept")
            return 0
        console.print(f"[yellow]![/] {escape(mismatch)}", soft_wrap=True)
        if not yes:
            confirm(f"Let the journal of {name} go on from where the broker stands now?")
        for line in acceptance.accept(desk, user(), why):
            console.print(escape(line), soft_wrap=True)
        left = acceptance.strangers(desk, broker.account())
    for trade in left:
        console.print(f"[yellow]![/] trade {trade.id} is not in the journal: `sep flatten`")
    return int(bool(left))


def flatten(console: Console, account: str | None, *, everything: bool, why: str, yes: bool) -> int:
    """Say what is open, ask, halt, and close it; 1 if anything that was meant is open still.

    Parameters
    ----------
    console : rich.console.Console
    account : str or None
    everything : bool
        Whether trades that are not ours are closed, too.
    why : str
    yes : bool
        Whether nothing is asked.
    """
    chosen, clock = settings(), WallClock()
    name = account or account_of(chosen)
    broker = broker_of(chosen, name, clock)
    try:
        before = make_plan(name, broker, everything=everything)
    except BrokerError:
        _halt(console, name, why)
        raise
    _say(console, before)
    if not yes and before.close:
        confirm(f"Halt, and close {len(before.close)} trades on {name}?")
    _halt(console, name, why)
    left = _close(console, name, broker, clock, everything=everything)
    quiet(name, clock)  # an entry may have been under way
    left = left or _close(console, name, broker, clock, everything=everything)
    _say_open(console, left)
    return int(bool(left))


def _close(
    console: Console, account: str, broker: Broker, clock: Clock, *, everything: bool
) -> tuple[Trade, ...]:
    done = close_all(
        account, broker, clock, make_plan(account, broker, everything=everything).close
    )
    _say_done(console, done)
    return done.open


def _say_done(console: Console, done: Flattened) -> None:
    for number, said in done.said.items():
        console.print(f"trade {escape(number)}: {escape(said)}", soft_wrap=True)
    if done.direct is not None:
        console.print(
            f"[yellow]![/] without the journal ({escape(done.direct)}): it takes what happened "
            "from the broker's log when it is back",
            soft_wrap=True,
        )


def _halt(console: Console, account: str, why: str) -> None:
    unknown = control.halt(user(), why, WallClock().now(), account=account)
    console.print("[yellow]halted[/]: `sep resume` lifts it")
    if unknown is not None:
        console.print(f"[yellow]![/] on this machine alone: {escape(unknown)}", soft_wrap=True)


def _say(console: Console, plan: Plan) -> None:
    state = plan.account
    console.print(f"account {escape(state.id)}: equity {state.equity} {state.currency}")
    if plan.journal is not None:
        console.print(
            f"[yellow]![/] the journal cannot be read ({escape(plan.journal)}): ours is what has "
            "a name of ours",
            soft_wrap=True,
        )
    if plan.close or plan.leave:
        console.print(_table(plan))
    else:
        console.print("no trade is open")
    for order in plan.pending:
        console.print(f"[yellow]![/] order {order.id} ({order.kind} {order.pair}) waits: not ours")


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("trade", "pair", "side", "units", "price", "stop", "unrealised", "what"):
        table.add_column(heading, no_wrap=True)
    for trade, what in [(t, "closed") for t in plan.close] + [(t, "left") for t in plan.leave]:
        cells = (trade.id, trade.pair, trade.side, trade.units, trade.price, trade.stop or "none")
        table.add_row(*(escape(str(cell)) for cell in (*cells, trade.unrealised, what)))
    return table


def _say_open(console: Console, trades: Iterable[Trade]) -> None:
    for trade in trades:
        console.print(
            f"[red]✘[/] trade {escape(trade.id)} ({trade.side} {trade.units} {trade.pair}) is "
            "still open: run it again, or close it on the venue's page",
            soft_wrap=True,
        )
