"""Dialects that publishers and platforms have for their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np

from tests.infra.sources.dialects import Dialect, Numbers, forgotten
from tests.infra.sources.drawn import MINUTES, Bar, Drawn, draw, with_quotes
from tests.infra.sources.sheets import Sheet, packed
from tests.infra.sources.stamps import local

FIXED, TRIMMED = Numbers(), Numbers(trim=True)
INTRADAY = [name for name in MINUTES if name != "D1"]


def preset(rng: Random) -> Dialect:
    """Draw bars as one of them writes them."""
    return rng.choice(PRESETS)(rng)


def _dialect(
    rng: Random,
    kind: str,
    drawn: Drawn,
    lines: Iterable[Iterable[str]],
    full: dict[str, Any] | None = None,
    *,
    sheet: Sheet | None = None,
    needed: Iterable[str] = (),
    source: str = "csv",
    **how: Any,
) -> Dialect:
    full = full or {}
    content = (sheet or Sheet()).encoded([list(line) for line in lines], [])
    some = forgotten(rng, full, frozenset(needed))
    return Dialect(kind, drawn, {"bars.csv": content}, "bars.csv", source, full, some, **how)


def _prices(bar: Bar, digits: int, how: Numbers = TRIMMED) -> list[str]:
    return [how.written(n, digits) for n in bar.points]


def _counted(drawn: Drawn, none: float | None = 0.0) -> Drawn:
    """The same bars, with whole volumes; what stands for none is `none`."""
    bars = [
        replace(bar, volume=none if bar.volume is None else float(round(bar.volume)))
        for bar in drawn.bars
    ]
    return replace(drawn, bars=bars)


def lots(bar: Bar) -> str:
    """The volume of a bar that has one, which is whole."""
    return f"{bar.volume:.0f}"


def _midnight(drawn: Drawn) -> str:
    """The clock on which days begin at midnight."""
    return "New York+7" if drawn.anchor == "New York" else "UTC"


def investing(rng: Random) -> Dialect:
    drawn = draw(rng, "D1")
    thousands = [
        replace(bar, volume=None if bar.volume is None else round(bar.volume) * 10.0)
        for bar in drawn.bars
    ]
    drawn, clock = replace(drawn, bars=thousands), _midnight(drawn)
    form, word = rng.choice(
        [("%m/%d/%Y", "month-first"), ("%d/%m/%Y", "day-first"), ("%b %d, %Y", "")]
    )
    how = Numbers(thousands=",")
    rows = []
    for bar in reversed(drawn.bars):
        o, h, l, c = _prices(bar, drawn.digits, how)  # noqa: E741
        volume = "" if bar.volume is None else f"{bar.volume / 1000:.2f}K"
        rows.append([local(bar.time, clock).strftime(form), c, o, h, l, volume, "0.10%"])
    full = {"clock": clock, **({"time_format": word} if word else {})}
    full |= {"decimal": "."} if rng.random() < 0.5 else {}
    header = ["Date", "Price", "Open", "High", "Low", "Vol.", "Change %"]
    sheet = Sheet(encoding="utf-8-sig", quoting=csv.QUOTE_ALL)
    return _dialect(rng, "Investing.com", drawn, [header, *rows], full, sheet=sheet, lossy=True)


def yahoo(rng: Random) -> Dialect:
    drawn = _counted(draw(rng, "D1"))
    clock = _midnight(drawn)
    rows = [
        [f"{local(bar.time, clock):%Y-%m-%d}", *(p := _prices(bar, drawn.digits)), p[3], lots(bar)]
        for bar in drawn.bars
    ]
    header = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
    return _dialect(rng, "Yahoo", drawn, [header, *rows], {"clock": clock}, lossy=True)


def stooq(rng: Random) -> Dialect:
    """As its archive has them: a row says pair and minutes."""
    drawn = _counted(draw(rng, rng.choice(["M5", "H1", "H1"])))
    clock = rng.choice(["UTC", "Europe/Warsaw"])
    ticker, minutes = drawn.pair.replace("_", ""), str(MINUTES[drawn.timeframe])
    rows = []
    for bar in drawn.bars:
        at = local(bar.time, clock)
        row = [ticker, minutes, f"{at:%Y%m%d}", f"{at:%H%M%S}", *_prices(bar, drawn.digits)]
        rows.append([*row, lots(bar), "0"])
    names = ["TICKER", "PER", "DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "VOL", "OPENINT"]
    header = [f"<{name}>" for name in names]
    return _dialect(rng, "Stooq", drawn, [header, *rows], {"clock": clock}, lossy=True)


def alpha_vantage(rng: Random) -> Dialect:
    drawn = draw(rng, rng.choice(INTRADAY))
    drawn = replace(drawn, bars=[replace(bar, volume=None) for bar in drawn.bars])
    rows = [
        [f"{bar.time:%Y-%m-%d %H:%M}", *_prices(bar, drawn.digits, FIXED)]
        for bar in reversed(drawn.bars)
    ]
    header = ["timestamp", "open", "high", "low", "close"]
    sheet = Sheet(ending="\r\n")
    return _dialect(rng, "Alpha Vantage", drawn, [header, *rows], {"clock": "UTC"}, sheet=sheet)


def tradingview(rng: Random) -> Dialect:
    drawn = draw(rng)
    epoch = rng.random() < 0.5
    with_volume = any(bar.volume is not None for bar in drawn.bars)
    rows = []
    for bar in drawn.bars:
        time = str(int(bar.time.timestamp())) if epoch else f"{bar.time:%Y-%m-%dT%H:%M:%SZ}"
        rows.append([time, *_prices(bar, drawn.digits)])
        if with_volume:
            rows[-1].append(TRIMMED.lots(bar.volume, "NaN"))
    header = ["time", "open", "high", "low", "close", *(["Volume"] if with_volume else [])]
    drawn = (
        drawn if with_volume else replace(drawn, bars=[replace(b, volume=None) for b in drawn.bars])
    )
    return _dialect(rng, "TradingView", drawn, [header, *rows])


def forexite(rng: Random) -> Dialect:
    drawn = _counted(draw(rng, rng.choice(["M1", "M1", "M5", "H1"])))
    clock, bare = rng.choice(["UTC", "UTC", "Europe/Athens"]), rng.random() < 0.4
    rows = []
    for bar in drawn.bars:
        at = local(bar.time, clock)
        time = f"{at:%H%M%S}".lstrip("0") or "0" if bare else f"{at:%H%M%S}"
        row = [drawn.pair.replace("_", ""), f"{at:%Y%m%d}", time, *_prices(bar, drawn.digits)]
        rows.append([*row, lots(bar)])
    names = ["TICKER", "DTYYYYMMDD", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "VOL"]
    header = names if bare else [f"<{name}>" for name in names]
    full = {"clock": clock, **({"time_format": "%Y%m%d %H%M%S"} if bare else {})}
    return _dialect(rng, "Forexite", drawn, [header, *rows], full, lossy=True)


def dukascopy_bars(rng: Random) -> Dialect:
    drawn = draw(rng)
    zone = rng.choice([None, "Europe/Athens", "America/New_York"])
    rows = []
    for bar in drawn.bars:
        at = local(bar.time, zone or "UTC")
        hours = (at - local(bar.time, "UTC")) // timedelta(hours=1)
        end = f" GMT{hours:+03d}00" if zone else ""
        row = [f"{at:%d.%m.%Y %H:%M:%S}.000{end}", *_prices(bar, drawn.digits)]
        rows.append([*row, TRIMMED.lots(bar.volume)])
    header = ["Local time" if zone else "Gmt time", "Open", "High", "Low", "Close", "Volume"]
    return _dialect(rng, "Dukascopy bars", drawn, [header, *rows])


def _server(rng: Random, drawn: Drawn, default: str) -> tuple[str, dict[str, str]]:
    """A clock of a source that has one of its own, and what must be declared."""
    others = [default, "UTC", "Europe/Athens"] if drawn.timeframe != "D1" else [_midnight(drawn)]
    clock = rng.choice(others)
    return clock, {} if clock == default else {"clock": clock}


def metatrader_4(rng: Random) -> Dialect:
    drawn = _counted(draw(rng), none=1.0)
    clock, full = _server(rng, drawn, "New York+7")
    rows = []
    for bar in drawn.bars:
        at = local(bar.time, clock)
        row = [f"{at:%Y.%m.%d}", f"{at:%H:%M}", *_prices(bar, drawn.digits, FIXED)]
        rows.append([*row, lots(bar)])
    return _dialect(rng, "MetaTrader 4", drawn, rows, full, source="metatrader", needed=full)


def metatrader_5(rng: Random) -> Dialect:
    drawn = _counted(draw(rng), none=1.0)
    clock, full = _server(rng, drawn, "New York+7")
    names = ["DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "TICKVOL", "VOL", "SPREAD"]
    rows = [[f"<{name}>" for name in names]]
    for bar in drawn.bars:
        at = local(bar.time, clock)
        row = [f"{at:%Y.%m.%d}", f"{at:%H:%M:%S}", *_prices(bar, drawn.digits, FIXED)]
        rows.append([*row, lots(bar), "0", "4"])
    if drawn.timeframe == "D1":
        rows = [[date, *rest] for date, _, *rest in rows]
    sheet = Sheet("\t", "\r\n", rng.choice(["utf-8", "utf-16"]))
    return _dialect(
        rng, "MetaTrader 5", drawn, rows, full, sheet=sheet, source="metatrader", needed=full
    )


_RATES = [
    *(("time", "<i8"), ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8")),
    *(("tick_volume", "<u8"), ("spread", "<i4"), ("real_volume", "<u8")),
]


def rates(rng: Random) -> Dialect:
    """What `copy_rates` gives: seconds of the server's wall clock, as NumPy's file or as text."""
    drawn = _counted(draw(rng), none=1.0)
    clock, full = _server(rng, drawn, "New York+7")
    epoch = local(drawn.bars[0].time, "UTC").replace(year=1970, month=1, day=1, hour=0, minute=0)
    rows = []
    for bar in drawn.bars:
        seconds = (local(bar.time, clock) - epoch) // timedelta(seconds=1)
        row = [str(seconds), *_prices(bar, drawn.digits), lots(bar), "8", "0"]
        rows.append(row)
    if rng.random() < 0.5:
        header = [name for name, _ in _RATES]
        source = rng.choice(["metatrader", "csv"])
        full = full if source == "metatrader" else {"clock": clock}
        return _dialect(rng, "rates", drawn, [header, *rows], full, source=source, needed=full)
    array = np.array([tuple(float(cell) for cell in row) for row in rows], dtype=_RATES)
    buffer = io.BytesIO()
    np.save(buffer, array)
    files = {"rates.npy": buffer.getvalue()}
    return Dialect("rates", drawn, files, "rates.npy", "metatrader", full, full)


def histdata(rng: Random) -> Dialect:
    drawn = draw(rng, "M1")
    drawn = replace(drawn, bars=[replace(bar, volume=0.0) for bar in drawn.bars])
    clock, full = _server(rng, drawn, "EST")
    form, separator = rng.choice([("%Y%m%d %H%M00", ";"), ("%Y.%m.%d,%H:%M", ",")])
    lines = [
        separator.join([f"{local(bar.time, clock):{form}}", *_prices(bar, drawn.digits), "0"])
        for bar in drawn.bars
    ]
    content, ending = "\r\n".join([*lines, ""]).encode(), rng.choice(["", ".zip"])
    name = f"DAT_ASCII_{drawn.pair.replace('_', '')}_M1_2018.csv"
    files = {name + ending: packed(content, ending, name)}
    return Dialect("HistData", drawn, files, name + ending, "histdata", full, full, lossy=True)


def lean(rng: Random) -> Dialect:
    drawn = with_quotes(rng, draw(rng, rng.choice(["H1", "D1"])))
    drawn = replace(drawn, bars=[replace(bar, volume=None) for bar in drawn.bars])
    clock = rng.choice(["UTC", "EST"])
    rows = []
    for bar in drawn.bars:
        ask = _prices(bar.off(bar.spread or 0), drawn.digits, FIXED)
        row = [f"{local(bar.time, clock):%Y%m%d %H:%M}", *_prices(bar, drawn.digits, FIXED), "0"]
        rows.append([*row, *ask, "0"])
    name = drawn.pair.replace("_", "").lower()
    files = {f"{name}.zip": packed(Sheet().encoded(rows, []), ".zip", f"{name}.csv")}
    full = {"clock": clock}
    some = forgotten(rng, full, frozenset())
    return Dialect("Lean", drawn, files, f"{name}.zip", "lean", full, some, exact=False)


def ticks(rng: Random) -> Dialect:
    """Four ticks a minute: its open, high, low and close."""
    drawn = with_quotes(rng, draw(rng, "M1"))
    drawn = replace(drawn, bars=[replace(bar, volume=4.0) for bar in drawn.bars[:150]])
    kind, rows = rng.choice(["dukascopy", "truefx"]), []
    for bar in drawn.bars:
        asks = _prices(bar.off(bar.spread or 0), drawn.digits)
        quotes = zip((0, 15, 30, 59), _prices(bar, drawn.digits), asks, strict=True)
        for second, bid, ask in quotes:
            at = bar.time + timedelta(seconds=second)
            if kind == "dukascopy":
                rows.append([f"{at:%d.%m.%Y %H:%M:%S}.678", ask, bid, "1.5", "0.75"])
            else:
                rows.append([drawn.pair.replace("_", "/"), f"{at:%Y%m%d %H:%M:%S}.678", bid, ask])
    header = [["Gmt time", "Ask", "Bid", "AskVolume", "BidVolume"]] if kind == "dukascopy" else []
    return _dialect(rng, f"ticks of {kind}", drawn, [*header, *rows], source=kind, exact=False)


PRESETS: tuple[Callable[[Random], Dialect], ...] = (
    *(investing, yahoo, stooq, alpha_vantage, tradingview, forexite, dukascopy_bars),
    *(metatrader_4, metatrader_5, rates, histdata, lean, ticks),
)
