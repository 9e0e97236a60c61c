"""The quality report: a line for each question about bars, with its verdict and the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import polars as pl

from infra.market.calendar import Week
from infra.market.instruments import pip
from infra.market.timeframes import bar_seconds
from tasks.folder import bar_store
from tasks.intake.quality import SPIKE, Quality, quality, told_duplicates
from tasks.reports.quality_pictures import CAPTIONS, draw_quality
from tasks.reports.report import _inline
from tasks.steps import step

Verdict = Literal["ok", "look", "bad"]


class Limit(NamedTuple):
    """Above `look` a person should look, above `bad` the bars should not be used as they are."""

    look: float
    bad: float


MISSING: Final = Limit(0.01, 0.05)
"""Minutes without a tick stay below 1 % in the major pairs; beyond 5 % a window of 256 bars
spans a clearly longer time in one place than in another."""

CUTS_A_YEAR: Final = Limit(0, 12)
"""Gaps that end a segment (mathematics, section 1) cost 257 bars of metrics each."""

OUTSIDE: Final = Limit(0.001, 0.02)
"""Prices of a closed market are indications; more than 2 % mean a wrong clock or calendar."""

DUPLICATES: Final = Limit(0, 0.001)
"""Conflicting rows say that two feeds were mixed, or local hours were written twice."""

SPIKES: Final = Limit(5e-5, 1e-3)
"""Clean hours of the major pairs have up to 3 in 100,000; one in a thousand moves sigma."""

FLAT: Final = Limit(10, 60)
"""Equal bars in a row: ten are a thin hour, sixty a feed that stands still."""

FLAT_HOURS: Final = Limit(3, 6)
"""The same for long bars, where these are fewer bars than `FLAT`."""

ZEROS: Final = Limit(0.15, 0.30)
"""Returns of exactly zero give no bit; minutes of 5 decimals have 7 %, of 4 decimals 40 %."""

STEP: Final = Limit(0.25, 0.75)
"""Smallest price step in deviations of a bar: a normal return is rounded to zero 0.4 times it."""

COARSER: Final = Limit(0.2, 0.5)
"""One price in ten ends in a zero by chance; more means that decimals changed on the way."""

CROSSED: Final = Limit(0, 0.01)
"""Spreads below zero cannot be traded; a simulation that buys at such an ask earns from nothing."""

UNKNOWN: Final = Limit(0, 1)
"""Volume that is known now and then is no encoder's input; it is never a reason to refuse bars."""

SHORT_WEEK: Final = 60
"""Minutes a week that an observed week may lack of the forex week."""

LONGEST: Final = 10
_RANKS: Final = ("ok", "look", "bad")


class Line(NamedTuple):
    """One row of the report: a figure, its verdict and what it means."""

    metric: str
    value: str
    verdict: Verdict
    text: str


def report(told: Quality) -> list[Line]:
    """Return the report, a line for each question."""
    return [line(told) for line in (_LINES if told.rows else _LINES[:1])]


def verdict(told: Quality) -> Verdict:
    """Return the worst verdict of all lines."""
    return max((line.verdict for line in report(told)), key=_RANKS.index)


def as_table(told: Quality) -> list[dict[str, str]]:
    """Return the report as rows of a table artifact."""
    names = ("metric", "value", "verdict", "what it means")
    return [dict(zip(names, line, strict=True)) for line in report(told)]


def as_markdown(told: Quality) -> str:
    """Return the report's sentence, what to look at, and the longest gaps."""
    lines = [f"**{sentence(told)}**", ""]
    lines += [
        f"- **{line.metric}** ({line.verdict}): {line.value}; {line.text}"
        for line in report(told)
        if line.verdict != "ok"
    ]
    if told.gaps.height:
        lines += ["", f"Longest of {told.gaps.height:,} unscheduled gaps (UTC)", ""]
        lines += ["| from | to | bars missing |", "|---|---|---:|"]
        longest = told.gaps.sort("bars", "start", descending=[True, False]).head(LONGEST)
        lines += [
            f"| {_moment(start)} | {_moment(end)} | {bars:,} |"
            for start, end, bars in longest.iter_rows()
        ]
    return "\n".join([*lines, ""])


def sentence(told: Quality) -> str:
    """Return the verdict in one sentence."""
    name = f"{told.pair} {told.timeframe}".strip()
    named = []
    for verdict, words in (("bad", "bad are"), ("look", "worth a look are")):
        metrics = [line.metric.lower() for line in report(told) if line.verdict == verdict]
        named += [f"{words} {', '.join(metrics)}"] if metrics else []
    return f"{name}: {'; '.join(named) or 'nothing stands out'}."


def check_bars(
    fetched: dict[str, Any], validated: dict[str, Any], *, pair: str, timeframe: str, content: str
) -> dict[str, Any]:
    """Judge all stored bars of a pair and timeframe, with the duplicates of this source.

    Parameters
    ----------
    fetched, validated : dict
        What `fetch` and `validate` returned.
    pair, timeframe : str
    content : str
        Hash of the stored bars: others are judged anew.

    Returns
    -------
    dict
        `verdict`, `sentence`, `table` (rows), `markdown` (with its pictures inlined).
    """
    duplicates = (0, 0)
    if "duplicate timestamp" in validated["reasons"]:
        quarantined = pl.read_parquet(validated["quarantine"], glob=False)
        rows = pl.read_parquet(fetched["raw"], glob=False)
        duplicates = told_duplicates(rows, quarantined.select("source_row", "reason"))
    told = quality(bar_store().read(pair, timeframe), timeframe, pair=pair, duplicates=duplicates)
    pictures = (
        f"{CAPTIONS[name]}\n\n![]({_inline(png)})" for name, png in draw_quality(told).items()
    )
    return {
        "verdict": verdict(told),
        "sentence": sentence(told),
        "table": as_table(told),
        "markdown": "\n\n".join([as_markdown(told), *pictures]),
    }


check = step("quality", version=1)(check_bars)


def _week_line(told: Quality) -> Line:
    lacks = Week.forex().minutes - told.week.minutes
    if not told.week.inferred:
        return Line(
            "Week",
            str(told.week),
            "ok",
            "given, or the forex week where bars of fewer than 4 weeks tell none",
        )
    if lacks > SHORT_WEEK:
        text = f"read off the bars: {lacks / 60:.1f} hours of the forex week are never there"
        return Line("Week", str(told.week), "look", text)
    return Line("Week", str(told.week), "ok", "read off the bars; signals must not use it")


def _bars_line(told: Quality) -> Line:
    if told.first is None or told.last is None:
        return Line("Bars", "0", "bad", "there is nothing to judge")
    span = f"{told.rows:,}, {_moment(told.first)} to {_moment(told.last)} UTC"
    return Line("Bars", span, "ok", "each timestamp once")


def _complete_line(told: Quality) -> Line:
    if told.completeness is None:
        return Line("Completeness", "–", "look", "no session lies between the first and last bar")
    verdict = _judge(1 - told.completeness, MISSING)
    missing = told.expected - int(told.days["present"].sum())
    text = f"{missing:,} of {told.expected:,} bars inside sessions are missing"
    return Line("Completeness", _percent(told.completeness, 3), verdict, text)


def _gaps_line(told: Quality) -> Line:
    if told.gaps.is_empty():
        return Line("Unscheduled gaps", "0", "ok", "no bar is missing where one was expected")
    hours = 4 * 3600 // bar_seconds(told.timeframe)
    cuts = told.gaps.filter(pl.col("bars") > max(12, hours)).height
    longest = told.gaps.sort("bars").row(-1, named=True)
    value = (
        f"{told.gaps.height:,}, longest {longest['bars']:,} bars from {_moment(longest['start'])}"
    )
    years = (told.days["date"][-1] - told.days["date"][0]).days / 365.25
    verdict = _judge(cuts / max(years, 1), CUTS_A_YEAR)
    return Line("Unscheduled gaps", value, verdict, f"{cuts:,} are long enough to end a segment")


def _outside_line(told: Quality) -> Line:
    verdict = _judge(told.outside / told.rows, OUTSIDE)
    text = "bars in time that the calendar calls closed"
    return Line("Outside sessions", f"{told.outside:,}", verdict, text)


def _duplicates_line(told: Quality) -> Line:
    value = f"{told.exact:,} exact, {told.conflicting:,} conflicting"
    verdict = _judge(told.conflicting / told.rows, DUPLICATES)
    if told.conflicting:
        return Line("Duplicates", value, verdict, "of conflicting rows the first was kept")
    text = "the same row twice: harmless, kept once" if told.exact else "every timestamp comes once"
    return Line("Duplicates", value, verdict, text)


def _spikes_line(told: Quality) -> Line:
    verdict = _judge(told.spikes.height / told.rows, SPIKES)
    text = f"beyond {SPIKE:g} robust deviations and back in the next bar"
    if told.spikes.is_empty():
        return Line("Spikes that return", "0", verdict, text)
    when, worst = told.spikes.sort("deviations").row(-1)
    value = f"{told.spikes.height:,}, worst {worst:.0f} deviations at {_moment(when)}"
    return Line("Spikes that return", value, verdict, text)


def _flat_line(told: Quality) -> Line:
    bars_an_hour = 3600 / bar_seconds(told.timeframe)
    longs = (max(2.0, hours * bars_an_hour) for hours in FLAT_HOURS)
    limit = Limit(*(min(bars, long) for bars, long in zip(FLAT, longs, strict=True)))
    verdict = _judge(told.flat_bars, limit)
    if told.flat_start is None:
        return Line("Flat runs", "0 bars", verdict, "no bar has a single price")
    value = f"longest {told.flat_bars:,} bars from {_moment(told.flat_start)}"
    return Line("Flat runs", value, verdict, "one price for open, high, low and close throughout")


def _zeros_line(told: Quality) -> Line:
    text = "closes equal to the one before give no bit"
    if told.zero_returns is not None and told.zero_returns > ZEROS.look:
        text += "; entropy that reacts to them measures rounding"
    return Line("Zero returns", _percent(told.zero_returns), _judge(told.zero_returns, ZEROS), text)


def _decimals_line(told: Quality) -> Line:
    value = f"{told.decimals}, {_percent(told.coarser, 1)} of prices with fewer"
    verdicts = _judge(told.price_step, STEP), _judge(told.coarser, COARSER)
    text = "the price does not move"
    if told.price_step is not None:
        text = f"the smallest step is {told.price_step:.2f} deviations of a bar"
    if verdicts[1] != "ok":
        text += "; 10 % with fewer would be chance: decimals differ within the history"
    return Line("Decimals", value, max(verdicts, key=_RANKS.index), text)


def _spread_line(told: Quality) -> Line:
    if told.spread.is_empty():
        text = "no bid and ask: costs are assumed, not measured"
        return Line("Spread", "unknown", "look", text)
    pips = told.spread.with_columns(pl.col("median", "high") / pip(told.pair))
    usual = pips.select(pl.median("median")).item()
    widest = pips.sort("median", "high").row(-1, named=True)
    value = f"median {usual:.1f} pips, widest {widest['median']:.1f} at {widest['hour']:02}:00"
    text = f"by hour of New York; 95 % of the widest hour are below {widest['high']:.1f} pips"
    return Line("Spread", value, "ok", text)


def _crossed_line(told: Quality) -> Line:
    if told.negative is None:
        return Line("Spreads of zero or less", "unknown", "ok", "no bid and ask")
    value = f"{_percent(told.negative)} negative, {_percent(told.zero)} zero"
    verdict = _judge(told.negative + (told.zero or 0.0), CROSSED)
    text = "bars in which ask is not above bid: indications that nobody could trade"
    return Line("Spreads of zero or less", value, verdict, text)


def _volume_line(told: Quality) -> Line:
    text = "in forex a count of price updates; the volume encoder needs it"
    if not told.volume:
        return Line("Volume", "unknown", "ok", text)
    return Line("Volume", _percent(told.volume), _judge(1 - told.volume, UNKNOWN), text)


_LINES: Final[tuple[Callable[[Quality], Line], ...]] = (
    _bars_line,
    _week_line,
    _complete_line,
    _gaps_line,
    _outside_line,
    _duplicates_line,
    _spikes_line,
    _flat_line,
    _zeros_line,
    _decimals_line,
    _spread_line,
    _crossed_line,
    _volume_line,
)


def _judge(value: float | None, limit: Limit) -> Verdict:
    if value is None or value <= limit.look:
        return "ok"
    return "look" if value <= limit.bad else "bad"


def _percent(share: float | None, digits: int = 2) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M")
