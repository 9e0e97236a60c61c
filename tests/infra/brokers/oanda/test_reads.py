"""Questions to OANDA: what answers mean, and what is asked again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.brokers.broker import BrokerError, BrokerRefused, Terms
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.client import TRIES
from infra.brokers.oanda.pace import Pace
from infra.brokers.oanda.scalars import moment, number, wire_name
from infra.clock import VirtualClock
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import ACCOUNT, ENTRY, NOW, TRADE, Json, always, broker


class Log:
    """A venue's transaction log, a page of so many lines, some of which may be held back."""

    def __init__(self, lines: list[Json], page: int = 1000, holes: tuple[int, ...] = ()) -> None:
        self.lines = {int(line["id"]): line for line in lines}
        self.page, self.holes, self.asked = page, set(holes), list[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        query, last = request.url.params, max(self.lines)
        if self.asked[-1] == "summary":
            return httpx.Response(200, json={"account": {}, "lastTransactionID": str(last)})
        if self.asked[-1] == "sinceid":
            chosen = [n for n in self.lines if n > int(query["id"]) and n not in self.holes]
        else:
            chosen = [n for n in self.lines if int(query["from"]) <= n <= int(query["to"])]
        told = [self.lines[n] for n in chosen[: self.page]]
        return httpx.Response(200, json=replies.log(told, last))


def test_the_log_is_told_in_our_words() -> None:
    told = broker(Log(replies.lines())).since(6356)
    assert [line.id for line in told] == list(range(6357, 6368))
    assert [line.kind for line in told] == [
        *("order", "fill", "order", "order", "financing", "order", "fill"),
        *("cancel", "cancel", "other", "other"),
    ]
    entry, fill, target, stop, night, close, exit_, *_, money, _ = told
    assert entry.client_id == fill.client_id == ENTRY.client_id
    assert (entry.order, fill.order, fill.pair) == ("6357", "6357", "EUR_USD")
    assert (target.trade, target.price, stop.price) == (TRADE, Decimal("1.081"), Decimal("1.089"))
    assert night.financed == ((TRADE, Decimal("-0.02")),)
    assert (close.trade, exit_.closed[0].trade, exit_.closed[0].whole) == (TRADE, TRADE, True)
    assert money.balance == Decimal("10006.11")
    assert fill.at == datetime(2026, 7, 1, 12, 0, 3, 512345, UTC)


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize("holes", [(), (6358,), (6357, 6360, 6361), tuple(range(6357, 6368))])
def test_short_pages_and_holes_are_filled(page: int, holes: tuple[int, ...]) -> None:
    log = Log(replies.lines(), page, holes)
    assert [line.id for line in broker(log).since(6356)] == list(range(6357, 6368))


def test_a_log_without_news_is_empty() -> None:
    venue = broker(Log(replies.lines()))
    assert venue.since(venue.last()) == []


@pytest.mark.parametrize(
    "lines",
    [
        [line for line in replies.lines() if line["id"] != "6360"],
        [*replies.lines(), {**replies.lines()[3], "price": "1.5"}],
        [{**line, "accountID": "101-004-7-001"} for line in replies.lines()],
        [{**line, "time": ""} for line in replies.lines()],
        [{**line, "units": "many"} for line in replies.lines()],
    ],
)
def test_a_log_that_proves_nothing_is_an_error(lines: list[Json]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=replies.log(lines, 6367))

    with pytest.raises(BrokerError):
        broker(answer).since(6356)


def test_a_log_that_ends_before_what_is_known_is_an_error() -> None:
    with pytest.raises(BrokerError, match="before 7000"):
        broker(always(200, replies.log([], 6367))).since(7000)


def test_a_log_that_tells_more_than_its_end_is_an_error() -> None:
    with pytest.raises(BrokerError, match="ends at 6360, and tells of 6367"):
        broker(always(200, replies.log(replies.lines(), 6360))).since(6356)


def test_an_account_tells_its_trades_with_their_stops() -> None:
    account = broker(always(200, replies.account())).account()
    assert (account.balance, account.equity) == (Decimal(10000), Decimal("9999.65"))
    (trade,) = account.trades
    assert (trade.id, trade.side, trade.units) == (TRADE, "short", Decimal(1000))
    assert (trade.stop, trade.target) == (Decimal("1.089"), Decimal("1.081"))
    assert trade.client_id == ENTRY.client_id
    assert account.equity == account.balance + trade.unrealised
    (foreign,) = account.pending
    assert (foreign.kind, foreign.units, account.transaction) == ("LIMIT", Decimal(-5), 6360)


def test_prices_are_the_best_ones_with_what_they_are_worth_at_home() -> None:
    venue = broker(always(200, replies.pricing()))
    price = venue.prices(["EUR_USD", "EUR_XXX"])["EUR_USD"]
    assert (price.bid, price.ask) == (Decimal("1.08515"), Decimal("1.08527"))
    assert (price.tradeable, price.gain, price.loss) == (True, Decimal("0.99"), Decimal("1.01"))
    assert price.at == moment(replies.AT)
    assert venue.prices(["EUR_XXX"]) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "non-tradeable", "tradeable": False}, False),
        ({"status": "invalid"}, False),
        ({"status": "a-word-of-tomorrow"}, False),
        ({"status": None, "tradeable": None}, False),
        ({"status": None}, True),
        ({"tradeable": None}, True),
        ({"bids": []}, True),
        ({"bids": [], "closeoutBid": None}, None),
        ({"bids": [{"price": "2"}]}, None),
    ],
)
def test_a_market_is_open_if_told_so(change: Json, expected: bool | None) -> None:
    body = replies.pricing()
    body["prices"][0] |= change
    told = broker(always(200, body)).prices(["EUR_USD"])
    assert (told["EUR_USD"].tradeable if told else None) is expected


def test_candles_ascend_and_the_last_is_under_way() -> None:
    since = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    told = broker(always(200, replies.candles())).candles("EUR_USD", "M1", since)
    assert [row.complete for row in told] == [True, True, False]
    assert [row.time for row in told] == [since + timedelta(minutes=n) for n in range(3)]
    assert told[0].bid == tuple(map(Decimal, ("1.08512", "1.08530", "1.08507", "1.08521")))
    assert len(broker(always(200, replies.candles())).candles("EUR_USD", "M1", told[1].time)) == 2


def test_of_a_time_to_come_there_are_no_candles() -> None:
    said = {"errorMessage": "Invalid value specified for 'from'. Time is in the future"}
    assert broker(always(400, said)).candles("EUR_USD", "M1", NOW) == []


def test_terms_are_asked_for_once_an_hour() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=replies.instruments())

    venue = broker(answer, terms=True)
    euro = Terms("EUR_USD", 5, 0, Decimal(1), Decimal(100000000), Decimal("0.02"))
    for _ in range(3):
        assert venue.terms("EUR_USD") == euro
        assert venue.terms("EUR_XXX") is None
    assert len(asked) == 1
    venue.clock.sleep(3601)
    assert venue.terms("USD_JPY") is not None
    assert len(asked) == 2


@pytest.mark.parametrize(
    "bad",
    [
        *(httpx.Response(status) for status in (429, 500, 502, 503)),
        *(httpx.Response(200, content=body) for body in (b"", b"<html>", b"{", b"[]", b"\xff")),
        *(httpx.ReadTimeout("late"), httpx.ConnectError("no"), httpx.ReadError("cut")),
    ],
)
def test_a_bad_answer_is_asked_for_again(bad: httpx.Response | Exception) -> None:
    asked = []

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(1)
        if len(asked) == 3:
            return httpx.Response(200, json=replies.account())
        if isinstance(bad, Exception):
            raise bad
        return httpx.Response(bad.status_code, content=bad.content)

    assert broker(answer).account().id == ACCOUNT
    asked[:] = [1] * 3
    with pytest.raises(BrokerError, match=f"in {TRIES} tries") as failed:
        broker(answer).account()
    assert not isinstance(failed.value, BrokerRefused)
    assert len(asked) == 3 + TRIES


@pytest.mark.parametrize(
    ("status", "said", "names"),
    [
        (401, "Insufficient authorization to perform request.", "SEP_OANDA_TRADING_TOKEN"),
        (403, "Forbidden", "SEP_OANDA_TRADING_TOKEN"),
        (404, "Invalid value specified for 'accountID'", "SEP_OANDA_ACCOUNT"),
        (302, "", "SEP_OANDA_ENVIRONMENT"),
    ],
)
def test_what_asking_again_does_not_mend_is_refused_at_once(
    status: int, said: str, names: str
) -> None:
    asked = []

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(status, json={"errorMessage": said})

    with pytest.raises(BrokerRefused, match=names):
        broker(answer).account()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("owned", "expected"),
    [(["101-004-7-001"], None), ([], "none"), (["101-004-7-001", "101-004-7-002"], "7-001, 101")],
)
def test_an_account_that_is_not_set_is_the_only_one(owned: list[str], expected: str | None) -> None:
    venue = broker(always(200, {"accounts": [{"id": each} for each in owned]}), account=None)
    if expected is None:
        assert venue.account_id == owned[0]
        return
    with pytest.raises(BrokerRefused, match=expected):
        _ = venue.account_id


@pytest.mark.parametrize(
    ("environment", "account", "name", "real", "synthetic"),
    [
        ("practice", ACCOUNT, "oanda practice", False, False),
        ("live", None, "oanda live", True, False),
        ("https://api-fxtrade.oanda.com/", None, "oanda live", True, False),
        ("https://api-fxpractice.oanda.com", None, "oanda practice", False, False),
        ("practice", "001-001-7654321-001", "oanda practice", True, False),
        ("https://venue.example", None, "oanda venue.example", True, False),
        ("http://127.0.0.1:8080", None, "oanda 127.0.0.1", False, True),
        ("http://[::1]:8080", None, "oanda ::1", False, True),
        ("https://localhost:8080", None, "oanda localhost", False, True),
    ],
)
def test_money_is_real_unless_it_is_known_that_it_is_not(
    environment: str, account: str | None, name: str, real: bool, synthetic: bool
) -> None:
    venue = OandaBroker(SecretStr("t"), environment, account, VirtualClock(NOW))
    assert (venue.name, venue.real, venue.synthetic) == (name, real, synthetic)


@pytest.mark.parametrize(
    "environment", ["", "demo", "http://api-fxtrade.oanda.com", "http://10.0.0.1", "https://a@b/"]
)
def test_no_token_is_sent_in_clear_to_another_machine(environment: str) -> None:
    with pytest.raises(BrokerRefused, match="SEP_OANDA_ENVIRONMENT"):
        OandaBroker(SecretStr("t"), environment, ACCOUNT, VirtualClock(NOW))


@pytest.mark.parametrize("token", ["", "a b", "a\n", "schlüssel"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(BrokerRefused, match="SEP_OANDA_TRADING_TOKEN"):
        OandaBroker(SecretStr(token), "practice", ACCOUNT, VirtualClock(NOW))


@pytest.mark.parametrize(
    "account", ["", "../x", "101-004-1234567-001/summary", "1" * 65, "101-004?x"]
)
def test_what_is_no_account_is_refused(account: str) -> None:
    with pytest.raises(BrokerRefused, match="SEP_OANDA_ACCOUNT"):
        OandaBroker(SecretStr("t"), "practice", account, VirtualClock(NOW))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-07-01T12:00:03.512345678Z", datetime(2026, 7, 1, 12, 0, 3, 512345, UTC)),
        ("2026-07-01T12:00:03Z", datetime(2026, 7, 1, 12, 0, 3, 0, UTC)),
        ("2026-07-01T14:00:03.5+02:00", datetime(2026, 7, 1, 12, 0, 3, 500000, UTC)),
        ("1532000000.000000000", datetime(2018, 7, 19, 11, 33, 20, 0, UTC)),
        ("1532000000.25", datetime(2018, 7, 19, 11, 33, 20, 250000, UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        *((bad, None) for bad in ("", "now", "2026-13-01T00:00:00Z", "999999999999", "-1")),
        (5, None),
        (None, None),
        *((bad, None) for bad in ("2026-07-01T12:00:03", "0001-01-01T00:00:00+14:00", "NaN")),
    ],
)
def test_times(told: object, expected: datetime | None) -> None:
    assert tried(moment, told) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        *(("1.08515", Decimal("1.08515")), ("-1000", Decimal(-1000)), (5, Decimal(5))),
        *((Decimal("0.5"), Decimal("0.5")), (Decimal("1E+2"), Decimal(100))),
        *((bad, None) for bad in ("", "NaN", "Infinity", "1e5", " 1", "1_0", "+1", "1.", ".5")),
        *((True, None), (None, None), ([], None), ("٣", None), ("1" * 19, None)),
        *((Decimal("1E+999"), None), (Decimal("1E-999"), None)),
    ],
)
def test_numbers(told: object, expected: Decimal | None) -> None:
    assert tried(number, told) == expected


def tried(read: Callable[[object], Any], told: object) -> Any:
    try:
        return read(told)
    except ValueError:
        return None


def test_names() -> None:
    ours = ["last_transaction_id", "unrealized_pl", "nav", "order_id", "full_vwap", "units"]
    theirs = ["lastTransactionID", "unrealizedPL", "NAV", "orderID", "fullVWAP", "units"]
    assert [wire_name(name) for name in ours] == theirs


def test_requests_keep_to_the_rate() -> None:
    clock = VirtualClock(NOW)
    pace = Pace(clock, rate=10, burst=5)
    for _ in range(25):
        pace.wait()
    assert clock.elapsed == pytest.approx(2.0)
    clock.sleep(60)
    before = clock.elapsed
    for _ in range(5):
        pace.wait()
    assert clock.elapsed == before
