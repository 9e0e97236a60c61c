"""Instruments: the table, every spelling of a name, and the user's own entries."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import asdict
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import SepError
from infra.market import instruments, offered, spelling
from infra.market.currencies import CURRENCIES
from infra.market.instrument import CALENDARS, FIGURES, NAME, InstrumentsError, UnknownInstrument
from infra.market.instruments import SYNTHETIC, canonical, find, pip, usual_costs
from infra.market.offered import Offer, Offers
from infra.market.table import shipped

TABLE = list(shipped().values())


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    return tmp_path


def entries(home: Path, text: str) -> None:
    (home / "instruments.toml").write_text(text)


def test_the_table_has_what_is_traded() -> None:
    kinds = Counter(each.kind for each in TABLE)
    assert kinds["forex"] >= 68
    assert kinds["metals"] >= 22
    assert {*kinds} == {"forex", "metals", "index", "energy", "commodity", "bond", "crypto"}
    named = "SPX500_USD NAS100_USD US30_USD DE30_EUR UK100_GBP JP225_USD BCO_USD WTICO_USD XCU_USD"
    named += " NATGAS_USD CORN_USD SOYBN_USD SUGAR_USD WHEAT_USD USB02Y_USD DE10YB_EUR UK10YB_GBP"
    named += " BTC_USD ETH_USD LTC_USD BCH_USD XAU_USD XAG_USD XPT_USD XPD_USD XAU_EUR XAG_JPY"
    assert {*named.split()} <= {*shipped()}


@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.name)
def test_every_row_makes_sense(each: instruments.Instrument) -> None:
    assert NAME.fullmatch(each.name)
    assert each.name == f"{each.base}_{each.quote}"
    assert each.quote in CURRENCIES | {"XAG"}
    assert (each.kind == "forex") == ({each.base, each.quote} <= CURRENCIES)
    assert each.calendar in CALENDARS
    assert math.log10(each.pip).is_integer()
    assert each.point <= each.pip
    assert 0 < each.low < each.high < math.inf
    assert min(each.minimum_size, each.spread_pips, each.slippage_pips) > 0
    assert 0 < each.margin <= 1
    assert each.source
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", each.date)
    assert {*each.estimate} <= {*FIGURES}
    # nobody trades at a price within which the spread is no small part
    assert 0.5e-4 < share_of_spread(each) < 0.1


def share_of_spread(each: instruments.Instrument) -> float:
    return each.spread_pips * each.pip / math.sqrt(each.low * each.high)


def test_no_cross_is_cheaper_than_the_cheaper_of_its_legs() -> None:
    for each in filter(lambda each: each.kind == "forex", TABLE):
        legs = [
            share_of_spread(leg)
            for leg in TABLE
            for one in (each.base, each.quote)
            if {leg.base, leg.quote} == {one, "USD"} and each is not leg
        ]
        if len(legs) == 2:
            assert share_of_spread(each) >= min(legs), each.name


def test_no_two_rows_go_by_one_name() -> None:
    names = [spelling.key(name) for each in TABLE for name in (each.name, *each.aliases)]
    assert [name for name, n in Counter(names).items() if n > 1] == []


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("EUR_USD", 0.8230, 1.6038),
        ("USD_JPY", 75.55, 161.95),
        ("GBP_USD", 1.0350, 2.1161),
        ("USD_CHF", 0.7068, 1.8310),
        ("EUR_CHF", 0.8517, 1.6830),
        ("AUD_USD", 0.4776, 1.1081),
        ("USD_CAD", 0.9058, 1.6190),
        ("GBP_JPY", 116.85, 251.1),
        ("USD_ZAR", 2.5, 19.93),
        ("XAU_USD", 251.9, 4380.0),
        ("XAG_USD", 3.5, 54.5),
        ("SPX500_USD", 295.0, 6900.0),
        ("JP225_USD", 6994.0, 52000.0),
        ("NATGAS_USD", 1.02, 15.8),
        ("BCO_USD", 9.1, 147.5),
        ("BTC_USD", 65.0, 126_000.0),
    ],
)
def test_bounds_hold_what_prices_have_been(name: str, low: float, high: float) -> None:
    each = find(name)
    assert each.low <= low / 1.5
    assert each.high >= 1.5 * high


@pytest.mark.parametrize(
    ("name", "spread", "slippage"),
    [
        ("EUR_USD", 1.4 * 0.0001, 0.2 * 0.0001),
        ("USD_JPY", 1.4 * 0.01, 0.2 * 0.01),
        ("GBP_USD", 2.0 * 0.0001, 0.2 * 0.0001),
        ("AUD_USD", 1.5 * 0.0001, 0.2 * 0.0001),
        *((name, 0.0, 0.0) for name in SYNTHETIC),
    ],
)
def test_usual_costs_are_what_they_were(name: str, spread: float, slippage: float) -> None:
    assert (usual_costs(name).spread, usual_costs(name).slippage) == (spread, slippage)


def test_gold_costs_what_gold_costs() -> None:
    assert 0.1 < usual_costs("XAU_USD").spread < 2.0
    assert pip("XAU_USD") == 0.01


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        *((spelt, "EUR_USD") for spelt in ("EURUSD", "EUR/USD", "eurusd=X", "EUR-USD", "EUR_USD")),
        *((spelt, "EUR_USD") for spelt in ("eur usd", " EURUSD ", "EUR.USD", "EURUSD.m", "Eurusd")),
        *((spelt, "EUR_USD") for spelt in ("EURUSDpro", "EURUSDm", "EURUSD.ecn", "EURUSD_i")),
        *((spelt, "EUR_USD") for spelt in ("OANDA:EURUSD", "FX:EURUSD", "C:EURUSD", "EURUSD#")),
        *((spelt, "EUR_USD") for spelt in ("FX_IDC:EURUSD", "EUR/USD.raw", "EURUSD+")),
        *((spelt, "XAU_USD") for spelt in ("XAUUSD", "GOLD", "gold", "XAUUSD.x", "OANDA:XAU_USD")),
        *((spelt, "SPX500_USD") for spelt in ("US500", "SPX500", "SPX500USD", "US500.cash")),
        *((spelt, "DE30_EUR") for spelt in ("GER40", "DE40_EUR", "DAX")),
        *((spelt, "BTC_USD") for spelt in ("BTCUSD", "X:BTCUSD", "BTC-USD", "XBTUSD")),
        *((spelt, "XAU_EUR") for spelt in ("GOLD.EUR", "GOLD#EUR", "gold/eur", "GOLD.EUR.m")),
        *((spelt, "JP225Y_JPY") for spelt in ("NIKKEI_JPY", "JPN225.JPY")),
        *((spelt, "XAU_USD") for spelt in ("TVC:GOLD", "oanda:gold", "GOLDUSD", "GOLD.USD")),
        *((spelt, "EUR_RON") for spelt in ("EUR_RON", "eurron", "EUR/RON.m", "FX:EURRON")),
        *((spelt, "PLANTED") for spelt in ("PLANTED", "planted")),
        *((name.lower(), name) for name in SYNTHETIC),
    ],
)
def test_every_spelling_is_one_name(spelt: str, name: str) -> None:
    assert canonical(spelt) == name


def test_every_name_and_alias_of_the_table_is_found() -> None:
    for each in TABLE:
        assert find(each.name) is each
        assert {canonical(alias) for alias in each.aliases} <= {each.name}


@pytest.mark.parametrize(
    "name",
    [
        *("", "EUR", "foo", "EUR_UDS", "USD_USD", "EURUSDXYZ", "XAU_TRY", "BTCUSDT", "EURUSDC"),
        *("../EUR_USD/..x", "EUR_USD_GBP", "\x00", "é", "EUR_USD\n\n.", "T" * 1000),
    ],
)
def test_what_nobody_knows_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(UnknownInstrument, match="the nearest are") as refused:
        find(name)
    assert isinstance(refused.value, SepError)
    assert isinstance(refused.value, ValueError)
    assert "instruments.toml" in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("name", ["NYSE:GOLD", "NASDAQ:BTC", "NYSE:CL", "AMEX:DOW", "GOLD.US"])
def test_a_share_is_no_instrument(name: str) -> None:
    with pytest.raises(UnknownInstrument):
        find(name)


@pytest.mark.parametrize(
    "name",
    [
        *("BTC.EUR", "BTC+EUR", "BTC#EUR", "BTC.EURm", "ETH.BTC", "BTC.USDT", "XAUUSD.XAG"),
        *("COPPER_EUR", "EURUSD.GBP", "GOLD.SILVER", "GOLD.WTI", "GOLD_TRY"),
    ],
)
def test_another_quote_is_no_mark_of_a_broker(name: str) -> None:
    with pytest.raises(UnknownInstrument):
        find(name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("EUR_UDS", "EUR_USD"), ("XUAUSD", "XAU_USD"), ("USDJPN", "USD_JPY"), ("NAS10", "NAS100_USD")],
)
def test_a_slip_names_what_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(UnknownInstrument, match=meant):
        find(typed)


@given(st.text(max_size=40))
def test_any_text_is_an_instrument_or_refused(text: str) -> None:
    try:
        name = canonical(text)
    except UnknownInstrument:
        return
    assert NAME.fullmatch(name)
    assert canonical(name) == name


def test_two_currencies_are_a_pair_of_which_all_is_estimated() -> None:
    for base, quote in permutations(("RON", "JPY", "KRW", "BRL"), 2):
        each = find(f"{base}{quote}")
        assert (each.name, each.kind, each.base, each.quote) == (
            f"{base}_{quote}",
            "forex",
            base,
            quote,
        )
        assert each.pip == (0.01 if quote in ("JPY", "KRW") else 0.0001)
        assert (each.low, each.high) == (0.0, math.inf)
        assert each.estimate == FIGURES
        assert each.spread_pips > find("EUR_USD").spread_pips


def test_an_own_entry_comes_before_the_table(own_home: Path) -> None:
    entries(own_home, '[EUR_USD]\nspread_pips = 0.3\nsource = "my account"\ndate = 2026-01-02\n')
    each = find("eurusd")
    assert (each.spread_pips, each.pip, each.source) == (0.3, 0.0001, "my account")
    assert each.date == "2026-01-02"
    assert "spread_pips" not in each.estimate
    assert "margin" in each.estimate
    assert usual_costs("EUR_USD").spread == 0.3 * 0.0001


def test_an_own_entry_is_like_another(own_home: Path) -> None:
    lines = [
        '[BTC_EUR]\nlike = "btc-usd"\nlow = 10.0\nhigh = 1e6',
        "pip = 0.5\nspread_pips = 30",
        'aliases = ["BITCOIN EURO"]',
    ]
    entries(own_home, "\n".join(lines))
    each, other = find("BTC/EUR"), find("BTC_USD")
    assert canonical("bitcoineuro") == "BTC_EUR"
    assert (each.base, each.quote, each.kind, each.calendar) == ("BTC", "EUR", "crypto", "crypto")
    assert (each.low, each.high, each.pip) == (10.0, 1e6, 0.5)
    assert (each.margin, each.minimum_size) == (other.margin, other.minimum_size)
    assert "margin" in each.estimate
    assert "low" not in each.estimate
    assert canonical("BITCOIN") == "BTC_USD"


def test_an_own_entry_may_say_all_there_is(own_home: Path) -> None:
    entries(own_home, "[TULIP]\npip = 0.5\nhigh = inf\ncalendar = 'always'\nquote = 'EUR'\n")
    each = find("tulip")
    assert (each.base, each.quote, each.pip, each.calendar) == ("TULIP", "EUR", 0.5, "always")
    assert each.high == math.inf


def test_a_changed_file_is_read_anew(own_home: Path) -> None:
    entries(own_home, "[EUR_USD]\nspread_pips = 1.0\n")
    assert find("EUR_USD").spread_pips == 1.0
    entries(own_home, "[EUR_USD]\nspread_pips = 12.5\n")
    assert find("EUR_USD").spread_pips == 12.5
    (own_home / "instruments.toml").unlink()
    assert find("EUR_USD").spread_pips == 1.4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[EUR_USD]\npip = 0", r"\[EUR_USD\], pip: .*greater than 0"),
        ("[EUR_USD]\npip = 'x'", r"\[EUR_USD\], pip: .*valid number"),
        ("[EUR_USD]\nspread = 1", r"\[EUR_USD\], spread: Extra inputs"),
        ("[EUR_USD]\nspread_pips = nan", r"\[EUR_USD\], spread_pips: "),
        ("[EUR_USD]\ncalendar = 'moon'", r"\[EUR_USD\], calendar: .*'forex'"),
        ("[EUR_USD]\nlow = 2\nhigh = 1", r"\[EUR_USD\], .*low must lie below high"),
        ("[EUR_USD]\nlow = 9", r"\[EUR_USD\], low: .*below high"),
        ("[BTC_EUR]\nlike = 'NOPE'", r"\[BTC_EUR\], like: .*nearest"),
        ("[BTC_EUR]\nlike = 'BTC_USD'\npip = 1", r"in USD, not EUR: write spread_pips, low, high"),
        ("[TULIP_USD]\nlike = 'PLANTED'", r"\[TULIP_USD\], like: PLANTED is made up"),
        ("[EURUSD]\npip = 1", r"\[EURUSD\]: write the name as \[EUR_USD\]"),
        ("[eur_x]\npip = 1", r"\[eur_x\]: write the name"),
        ("['../x']\npip = 1", r"write the name"),
        ("BTC_EUR = 1", r"\[BTC_EUR\], entry: "),
        ("[BTC_EUR\npip", r"is no TOML: .*line 1"),
    ],
)
def test_a_wrong_entry_is_named_with_file_and_field(own_home: Path, text: str, said: str) -> None:
    entries(own_home, text)
    with pytest.raises(InstrumentsError, match=said) as refused:
        find("EUR_USD")
    assert str(own_home / "instruments.toml") in str(refused.value)


def test_what_is_made_up_stays_made_up(own_home: Path) -> None:
    entries(own_home, "[PLANTED]\nspread_pips = 3\n")
    assert find("PLANTED").spread_pips == 0.0


def test_what_the_broker_said_lies_between(own_home: Path) -> None:
    offers = [
        Offer(name="EUR_USD", kind="forex", pip=0.0001, precision=5, minimum_size=1, margin=0.0333),
        Offer(name="DOGE_USD", kind="crypto", pip=1e-5, precision=6, minimum_size=10, margin=0.5),
    ]
    before = find("EUR_USD")
    offered.keep(own_home, Offers(source="OANDA x", date="2026-02-03", instruments=tuple(offers)))
    each = find("EUR_USD")
    assert (each.margin, each.date) == (0.0333, "2026-02-03")
    assert each.source.startswith("OANDA x (pip, precision, minimum_size, margin), else quoting")
    assert "margin" not in each.estimate
    changed = {n for n, v in asdict(each).items() if v != asdict(before)[n]}
    assert changed == {"margin", "date", "source", "estimate"}
    new = find("DOGEUSD")
    assert (new.kind, new.calendar, new.pip, new.low) == ("crypto", "crypto", 1e-5, 0.0)
    entries(own_home, "[EUR_USD]\nmargin = 0.01\n")
    assert find("EUR_USD").margin == 0.01


def test_a_damaged_answer_says_how_to_mend_it(own_home: Path) -> None:
    (own_home / "instruments.oanda.json").write_text('{"source": "OANDA"')
    with pytest.raises(InstrumentsError, match="instruments refresh"):
        find("EUR_USD")
