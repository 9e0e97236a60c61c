"""The quality report: a line for each question about bars, with its verdict and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import polars as pl

from infra.files import replaced
from infra.market.instruments import pip
from infra.market.timeframes import bar_seconds
from infra.market.week import Week
from infra.settings import settings
from tasks.folder import bar_store
from tasks.intake.quality import SPIKE, Quality, quality, told_duplicates
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


def report(quality: Quality) -> list[Line]:
    """Return the report, a line for each question."""
    return [line(quality) for line in (_LINES if quality.rows else _LINES[:1])]


def verdict(quality: Quality) -> Verdict:
    """Return the worst verdict of all lines."""
    return max((line.verdict for line in report(quality)), key=_RANKS.index)


def as_table(quality: Quality) -> list[dict[str, str]]:
    """Return the report as rows of a table artifact."""
    names = ("metric", "value", "verdict", "what it means")
    return [dict(zip(names, line, strict=True)) for line in report(quality)]


def as_markdown(quality: Quality) -> str:
    """Return the report's sentence, what to look at, and the longest gaps."""
    lines = [f"**{sentence(quality)}**", ""]
    lines += [
        f"- **{line.metric}** ({line.verdict}): {line.value}; {line.text}"
        for line in report(quality)
        if line.verdict != "ok"
    ]
    if quality.gaps.height:
        lines += ["", f"Longest of {quality.gaps.height:,} unscheduled gaps (UTC)", ""]
        lines += ["| from | to | bars missing |", "|---|---|---:|"]
        longest = quality.gaps.sort("bars", "start", descending=[True, False]).head(LONGEST)
        lines += [
            f"| {_moment(start)} | {_moment(end)} | {bars:,} |"
            for start, end, bars in longest.iter_rows()
        ]
    return "\n".join([*lines, ""])


def sentence(quality: Quality) -> str:
    """Return the verdict in one sentence."""
    name = f"{quality.pair} {quality.timeframe}".strip()
    named = []
    for verdict, words in (("bad", "bad are"), ("look", "worth a look are")):
        metrics = [line.metric.lower() for line in report(quality) if line.verdict == verdict]
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
        `verdict`, `sentence`, `table` (rows), `markdown` (with its pictures inlined), `pictures`
        (paths; those of the pair's last report stay).
    """
    from tasks.reports.quality_pictures import CAPTIONS, draw_quality  # Matplotlib

    duplicates = (0, 0)
    if "duplicate timestamp" in validated["reasons"]:
        quarantined = pl.read_parquet(validated["quarantine"], glob=False)
        rows = pl.read_parquet(fetched["raw"], glob=False)
        duplicates = told_duplicates(rows, quarantined.select("source_row", "reason"))
    measured = quality(
        bar_store().read(pair, timeframe), timeframe, pair=pair, duplicates=duplicates
    )
    drawn = draw_quality(measured)
    pictures = (f"{CAPTIONS[name]}\n\n![]({_inline(png)})" for name, png in drawn.items())
    return {
        "pictures": _kept(drawn, pair, timeframe),
        "verdict": verdict(measured),
        "sentence": sentence(measured),
        "table": as_table(measured),
        "markdown": "\n\n".join([as_markdown(measured), *pictures]),
    }


check = step("quality", version=2)(check_bars)


def _kept(drawn: Mapping[str, bytes], pair: str, timeframe: str) -> list[str]:
    """Write pictures under the home, in place of those of the pair's last report."""
    folder = settings().home / "quality" / pair / timeframe
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in drawn]
    for path, png in zip(paths, drawn.values(), strict=True):
        with replaced(path) as draft:
            draft.write_bytes(png)
    return [str(path) for path in paths]


def _week_line(quality: Quality) -> Line:
    lacks = Week.forex().minutes - quality.week.minutes
    if not quality.week.inferred:
        return Line(
            "Week",
            str(quality.week),
            "ok",
            "given, or the forex week where bars of fewer than 4 weeks tell none",
        )
    if lacks > SHORT_WEEK:
        text = f"read off the bars: {lacks / 60:.1f} hours of the forex week are never there"
        return Line("Week", str(quality.week), "look", text)
    return Line("Week", str(quality.week), "ok", "read off the bars; signals must not use it")


def _bars_line(quality: Quality) -> Line:
    if quality.first is None or quality.last is None:
        return Line("Bars", "0", "bad", "there is nothing to judge")
    span = f"{quality.rows:,}, {_moment(quality.first)} to {_moment(quality.last)} UTC"
    return Line("Bars", span, "ok", "each timestamp once")


def _complete_line(quality: Quality) -> Line:
    if quality.completeness is None:
        return Line("Completeness", "–", "look", "no session lies between the first and last bar")
    verdict = _judge(1 - quality.completeness, MISSING)
    missing = quality.expected - int(quality.days["present"].sum())
    text = f"{missing:,} of {quality.expected:,} bars inside sessions are missing"
    return Line("Completeness", _percent(quality.completeness, 3), verdict, text)


def _gaps_line(quality: Quality) -> Line:
    if quality.gaps.is_empty():
        return Line("Unscheduled gaps", "0", "ok", "no bar is missing where one was expected")
    hours = 4 * 3600 // bar_seconds(quality.timeframe)
    cuts = quality.gaps.filter(pl.col("bars") > max(12, hours)).height
    longest = quality.gaps.sort("bars").row(-1, named=True)
    worst = f"longest {longest['bars']:,} bars from {_moment(longest['start'])}"
    value = f"{quality.gaps.height:,}, {worst}"
    years = (quality.days["date"][-1] - quality.days["date"][0]).days / 365.25
    verdict = _judge(cuts / max(years, 1), CUTS_A_YEAR)
    return Line("Unscheduled gaps", value, verdict, f"{cuts:,} are long enough to end a segment")


def _outside_line(quality: Quality) -> Line:
    verdict = _judge(quality.outside / quality.rows, OUTSIDE)
    text = "bars in time that the calendar calls closed"
    return Line("Outside sessions", f"{quality.outside:,}", verdict, text)


def _duplicates_line(quality: Quality) -> Line:
    value = f"{quality.exact:,} exact, {quality.conflicting:,} conflicting"
    verdict = _judge(quality.conflicting / quality.rows, DUPLICATES)
    if quality.conflicting:
        return Line("Duplicates", value, verdict, "of conflicting rows the first was kept")
    text = (
        "the same row twice: harmless, kept once" if quality.exact else "every timestamp comes once"
    )
    return Line("Duplicates", value, verdict, text)


def _spikes_line(quality: Quality) -> Line:
    verdict = _judge(quality.spikes.height / quality.rows, SPIKES)
    text = f"beyond {SPIKE:g} robust deviations and back in the next bar"
    if quality.spikes.is_empty():
        return Line("Spikes that return", "0", verdict, text)
    when, worst = quality.spikes.sort("deviations").row(-1)
    value = f"{quality.spikes.height:,}, worst {worst:.0f} deviations at {_moment(when)}"
    return Line("Spikes that return", value, verdict, text)


def _flat_line(quality: Quality) -> Line:
    bars_an_hour = 3600 / bar_seconds(quality.timeframe)
    longs = (max(2.0, hours * bars_an_hour) for hours in FLAT_HOURS)
    limit = Limit(*(min(bars, long) for bars, long in zip(FLAT, longs, strict=True)))
    verdict = _judge(quality.flat_bars, limit)
    if quality.flat_start is None:
        return Line("Flat runs", "0 bars", verdict, "no bar has a single price")
    value = f"longest {quality.flat_bars:,} bars from {_moment(quality.flat_start)}"
    return Line("Flat runs", value, verdict, "one price for open, high, low and close throughout")


def _zeros_line(quality: Quality) -> Line:
    text = "closes equal to the one before give no bit"
    if quality.zero_returns is not None and quality.zero_returns > ZEROS.look:
        text += "; entropy that reacts to them measures rounding"
    return Line(
        "Zero returns", _percent(quality.zero_returns), _judge(quality.zero_returns, ZEROS), text
    )


def _decimals_line(quality: Quality) -> Line:
    value = f"{quality.decimals}, {_percent(quality.coarser, 1)} of prices with fewer"
    verdicts = _judge(quality.price_step, STEP), _judge(quality.coarser, COARSER)
    text = "the price does not move"
    if quality.price_step is not None:
        text = f"the smallest step is {quality.price_step:.2f} deviations of a bar"
    if verdicts[1] != "ok":
        text += "; 10 % with fewer would be chance: decimals differ within the history"
    return Line("Decimals", value, max(verdicts, key=_RANKS.index), text)


def _spread_line(quality: Quality) -> Line:
    if quality.spread.is_empty():
        text = "no bid and ask: costs are assumed, not measured"
        return Line("Spread", "unknown", "look", text)
    pips = quality.spread.with_columns(pl.col("median", "high") / pip(quality.pair))
    usual = pips.select(pl.median("median")).item()
    widest = pips.sort("median", "high").row(-1, named=True)
    value = f"median {usual:.1f} pips, widest {widest['median']:.1f} at {widest['hour']:02}:00"
    text = f"by hour of New York; 95 % of the widest hour are below {widest['high']:.1f} pips"
    return Line("Spread", value, "ok", text)


def _crossed_line(quality: Quality) -> Line:
    if quality.negative is None:
        return Line("Spreads of zero or less", "unknown", "ok", "no bid and ask")
    value = f"{_percent(quality.negative)} negative, {_percent(quality.zero)} zero"
    verdict = _judge(quality.negative + (quality.zero or 0.0), CROSSED)
    text = "bars in which ask is not above bid: indications that nobody could trade"
    return Line("Spreads of zero or less", value, verdict, text)


def _volume_line(quality: Quality) -> Line:
    text = "in forex a count of price updates; the volume encoder needs it"
    if not quality.volume:
        return Line("Volume", "unknown", "ok", text)
    return Line("Volume", _percent(quality.volume), _judge(1 - quality.volume, UNKNOWN), text)


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
