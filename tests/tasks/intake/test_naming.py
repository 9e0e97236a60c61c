"""What the name of a file tells of its bars."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.sources.columns import SourceError
from tasks.intake.naming import _words, known, refuse_others


def told(name: str) -> set[str]:
    return {pair for word in _words(name) if (pair := known(word)) is not None}


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        *((f"EURUSD{rest}.csv", "EUR_USD") for rest in ("", "_H1", "=X", "m", "60", "H1")),
        *((f"EURUSD{rest}.csv", "EUR_USD") for rest in ("_Candlestick_1_Hour_BID", "_all")),
        *((name, "EUR_USD") for name in ("DAT_ASCII_EURUSD_M1_2018.csv", "OANDA_EURUSD, 60.csv")),
        *((name, "EUR_USD") for name in ("fx_intraday_60min_EUR_USD.csv", "EUR-USD.csv")),
        ("EURUSD.pro_H1.csv", "EUR_USD"),
        ("20180108_eurusd_minute_quote.csv", "EUR_USD"),
        *((name, "XAU_USD") for name in ("XAU_USD Historical Data.csv", "GOLD_D1.csv")),
        ("xauusd-m1-bid-2020.csv", "XAU_USD"),
        *((name, "XAG_EUR") for name in ("SILVER_EUR_H1.csv", "SILVEREUR.csv", "XAGEUR.csv")),
        ("NIKKEI_JPY.csv", "JP225Y_JPY"),
        ("NASDAQ100_H1.csv", "NAS100_USD"),
        *((name, "US30_USD") for name in ("US30_H1.csv", "US30_USD_D1.csv")),
        ("DE40_H1.csv", "DE30_EUR"),
        ("SPX_USD_D1.csv", "SPX500_USD"),
    ],
)
def test_a_name_tells_the_pair(name: str, pair: str) -> None:
    assert told(name) == {pair}


@pytest.mark.parametrize(
    "name",
    [
        *("NASDAQ_AAPL, 60.csv", "NYSE_GOLD, 60.csv", "COMEX_SILVER_D1.csv"),
        *("BITCOIN_EUR.csv", "COPPER_EUR.csv", "GOLD_H1_TRY.csv", "EUR_COPPER_H1.csv"),
        *("EURUSDC.csv", "BTCUSDT_1h.csv", "XAUUSDT.csv", "SILVER_USDT.csv", "BTC_USDT.csv"),
    ],
)
def test_another_quote_or_a_share_tells_nothing(name: str) -> None:
    assert told(name) == set()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("EURUSD_01.csv", "GBPUSD_03.csv"), "GBPUSD_03.csv is of GBP_USD by its name"),
        (("EURUSD_M1_BID.csv", "EURUSD_M1_ASK.csv"), "one side alone"),
    ],
)
def test_files_of_several_instruments_or_sides_are_no_source(
    names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        refuse_others([Path(name) for name in names], "EUR_USD")
    refuse_others([Path(name) for name in ("EURUSD_1.csv", "part_2.csv")], "EUR_USD")
