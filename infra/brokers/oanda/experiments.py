"""The probe's experiments: each asks the venue one thing and says in a few words what came."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import httpx

from infra.brokers.broker import BrokerError
from infra.brokers.oanda.client import Answer
from infra.brokers.oanda.probe import Experiment, Probe
from infra.brokers.oanda.scalars import plain

BACK: Final = 20_000
"""How many transactions are asked for at once."""

IMPATIENT: Final = httpx.Timeout(5.0, read=0.001)
PATIENCE: Final = 10.0
"""Seconds in which an order whose answer nobody waited for may still show in the log."""


def entry(probe: Probe, name: str, trade: str) -> dict[str, Any]:
    """Return the body of the smallest order, with its stop one percent away.

    Parameters
    ----------
    probe : Probe
    name, trade : str
        The client's names of the order and of the trade.
    """
    price, terms = probe.broker.prices([probe.pair])[probe.pair], probe.terms
    step = Decimal(1).scaleb(-terms.precision)
    bound, stop = price.ask * Decimal("1.005"), price.bid * Decimal("0.99")
    order = {
        "type": "MARKET",
        "instrument": probe.pair,
        "units": plain(terms.minimum),
        "timeInForce": "FOK",
        "positionFill": "DEFAULT",
        "priceBound": plain(bound.quantize(step)),
        "stopLossOnFill": {"price": plain(stop.quantize(step)), "timeInForce": "GTC"},
        "clientExtensions": {"id": name},
        "tradeClientExtensions": {"id": trade},
    }
    return {"order": order}


def outcome(answer: Answer | None) -> str:
    """Say in a few words what came of an order."""
    if answer is None:
        return "no answer"
    body = _body(answer)
    parts = (key for key in body if key.endswith("FillTransaction"))
    if next(parts, None):
        return "filled"
    for key, told in body.items():
        if key.endswith("RejectTransaction"):
            return f"rejected ({told.get('rejectReason')})"
        if key.endswith("CancelTransaction"):
            return f"cancelled ({told.get('reason')})"
    return f"{answer.status} {body.get('errorCode') or body.get('errorMessage') or ''}".strip()


def _body(answer: Answer | None) -> dict[str, Any]:
    told = answer.json() if answer is not None and answer.text else {}
    return told if isinstance(told, dict) else {}


def _open(probe: Probe, name: str | None = None, trade: str | None = None) -> Answer | None:
    name = name or probe.fresh()
    return probe.send("POST", "/orders", body=entry(probe, name, trade or probe.fresh()))


def _opened(probe: Probe) -> tuple[str, str, str]:
    """Open a trade; numbers of its order and of itself, and the order's name.

    Raises
    ------
    BrokerError
        If it was not filled.
    """
    name = probe.fresh()
    answer = _open(probe, name)
    fill = _body(answer).get("orderFillTransaction")
    if not fill:
        raise BrokerError(f"an order to begin with was {outcome(answer)}")
    return str(fill["orderID"]), str(fill["tradeOpened"]["tradeID"]), name


def finished_orders(probe: Probe) -> str:
    """Ask for a filled order by its number and by its name."""
    order, _, name = _opened(probe)
    ways = {"number": f"/orders/{order}", "name": f"/orders/@{name}"}
    told = {way: probe.send("GET", path) for way, path in ways.items()}
    return ", ".join(f"by {way}: {_state(answer)}" for way, answer in told.items())


def _state(answer: Answer | None) -> str:
    told = _body(answer).get("order") or {}
    return str(told.get("state") or outcome(answer))


def same_name(probe: Probe) -> str:
    """Send an order's name again, with the trade's name changed and then not."""
    name, trade = probe.fresh(), probe.fresh()
    said = [outcome(_open(probe, name, trade)), outcome(_open(probe, name))]
    said.append(outcome(_open(probe, name, trade)))
    return f"first {said[0]}, same order name {said[1]}, same trade name, too: {said[2]}"


def second_close(probe: Probe) -> str:
    """Close a trade twice."""
    _, trade, _ = _opened(probe)
    path = f"/trades/{trade}/close"
    said = [outcome(probe.send("PUT", path, body={"units": "ALL"})) for _ in range(2)]
    return f"first {said[0]}, second {said[1]}"


def closeout_echo(probe: Probe) -> str:
    """Close the position with a name, and look for it in the log."""
    _opened(probe)
    before, name = probe.broker.last(), probe.fresh()
    body = {"longUnits": "ALL", "longClientExtensions": {"id": name}}
    said = outcome(probe.send("PUT", f"/positions/{probe.pair}/close", body=body))
    log = probe.broker.since(before)
    echoes = sorted({line.type for line in log if line.client_id == name})
    return f"{said}; the name is told by {', '.join(echoes) or 'nothing'}"


def page_cap(probe: Probe) -> str:
    """Ask for many transactions at once."""
    last = probe.broker.last()
    first = max(1, last - BACK)
    body = _body(probe.send("GET", "/transactions/sinceid", query={"id": str(first)}))
    return f"{len(body['transactions'])} of {last - first} came at once"


def late_request(probe: Probe) -> str:
    """Give up on an order at once, and watch the log for it."""
    clock, before, name = probe.broker.clock, probe.broker.last(), probe.fresh()
    body = entry(probe, name, probe.fresh())
    begin = clock.monotonic()
    answer = probe.send("POST", "/orders", body=body, timeout=IMPATIENT)
    while clock.monotonic() - begin < PATIENCE:
        if any(line.client_id == name for line in probe.broker.since(before)):
            seconds = clock.monotonic() - begin
            waited = "given up" if answer is None else "answered"
            return f"{waited}; in the log after {seconds:.3f} s"
        clock.sleep(0.05)
    return f"not in the log after {PATIENCE:g} s"


def weekend(probe: Probe) -> str:
    """Tell what a closed market says, if it is closed."""
    probe.send("GET", "/pricing", query={"instruments": probe.pair})
    price = probe.broker.prices([probe.pair]).get(probe.pair)
    if price is not None and price.tradeable:
        return "the market is open: run the probe again on a weekend"
    return f"an order is {outcome(_open(probe))}"


def server_errors(probe: Probe) -> str:
    """Tell of changes that were answered with a status of 500 or above, and whether they count."""
    sent = [line for line in probe.seen if line["sent"] and (line["status"] or 0) >= 500]
    if not sent:
        return "none came"
    names = [line["sent"].get("order", {}).get("clientExtensions", {}).get("id") for line in sent]
    known = {line.client_id for line in probe.broker.since(max(0, probe.broker.last() - 200))}
    applied = [name for name in names if name and name in known]
    return f"{len(sent)} came, {len(applied)} of them applied"


EXPERIMENTS: Final[dict[str, Experiment]] = {
    "what does a closed market answer?": weekend,
    "is a filled order found by its number?": finished_orders,
    "is a client's name taken twice?": same_name,
    "what does a second close answer?": second_close,
    "does a closeout repeat the client's name?": closeout_echo,
    "how many transactions come at once?": page_cap,
    "how late may a request be done?": late_request,
    "is an order done in spite of a 5xx?": server_errors,
}
