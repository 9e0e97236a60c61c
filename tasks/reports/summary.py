"""The result of a backtest as plain numbers, with a verdict that has to be earned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kernels.evaluation import non_overlapping, wilson
from kernels.outcomes import SIDES
from tasks.reports.calibration import base_rate, calibration, finite, mean
from tasks.reports.cautions import caution_words
from tasks.reports.format import interval, number, percent
from tasks.reports.learners import as_lines
from tasks.research.simulation import Simulation

SPLITS = ("library", "calibration", "test")
LEAST_OUTCOMES = 30
EDGE, NO_EDGE = "edge after costs", "no edge after costs"
BOUND = 1.6448536269514722
"""Normal deviations of the 5 % bound of the net gain."""

NO_SIGNAL = "no bar's expected net gain, less caution, was above zero"
CHARGES = ("spread", "slippage", "commission")
NO_SWAP = "not counted: no broker's rates are known, or none were asked for"
DISCLAIMER = "Research on the past, not financial advice."

Summary = dict[str, Any]


def summarise(
    predictions: pl.DataFrame,
    signals: pl.DataFrame,
    simulation: Simulation,
    *,
    horizon: int,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    draws: int = 1000,
    rules: Mapping[str, tuple[pl.DataFrame, int]] | None = None,
) -> Summary:
    """Sum a backtest up and judge it on its test span alone.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame: ``split``, and by side ``confidence``, ``break_even``, ``win``.
    signals : polars.DataFrame
        What the strategy made of the rows whose split is "test".
    simulation : Simulation
        What `simulate` made of those signals.
    horizon : int
        Bars from entry to the time exit; outcomes closer than that overlap.
    about : mapping, optional
        What else the result should say of itself (pair, settings, data hash, seed, versions).
    seed, draws : int
        Of the block bootstrap that bounds the Brier skill.
    rules : mapping of str to (polars.DataFrame, int), optional
        Metrics frame and horizon of each further exit rule, whose confidence has to be shown, too.

    Returns
    -------
    dict
        JSON-ready (no NaN): ``verdict``, ``edge``, ``sentence``, ``reasons``, ``horizon``,
        ``spans``, ``sides``, ``signals``, ``trades``, ``money``, ``waterfall``, ``calibration``,
        ``rules`` (their calibration), ``about``.

    Raises
    ------
    ValueError
        When a signal lies outside the test span: nothing in-sample may count as evidence.

    Notes
    -----
    There is an edge only where the Wilson interval of the hit rate lies above break-even, the 5 %
    bound of the net gain is above zero (who wins can be foretold without knowing where prices go:
    by barriers and volatility, or by the spread), the 5 % bound of the Brier skill (circular block
    bootstrap, blocks of four outcomes' length or more, against the better of the library's and the
    test span's own base rate) is above zero, and the test span holds at least 30 outcomes that do
    not overlap.
    """
    _refuse_in_sample(predictions, signals)
    summary: Summary = {
        "horizon": horizon,
        "spans": [_span(predictions, split, horizon) for split in SPLITS],
        "sides": {side: _side(predictions, signals, simulation, side) for side in SIDES},
        "signals": signals.height,
        "trades": _hits(simulation.trades),
        "money": _money(simulation),
        "waterfall": waterfall(simulation.trades),
        "calibration": calibration(predictions, horizon, seed=seed, draws=draws),
        "rules": {
            name: calibration(told, bars, seed=seed, draws=draws)
            for name, (told, bars) in (rules or {}).items()
        },
        "about": dict(about or {}),
    }
    reasons = list(_reasons_against(summary))
    summary |= {"edge": not reasons, "verdict": NO_EDGE if reasons else EDGE, "reasons": reasons}
    return summary | {"sentence": _sentence(summary)}


def as_table(summary: Summary) -> list[dict[str, str]]:
    """Return the result as rows of metric and value, for a table artifact or a terminal.

    With a line for each of `learners`, for `caution` and for `truth`, where the summary has them.
    """
    sides, trades, money = summary["sides"], summary["trades"], summary["money"]
    judged = summary["calibration"]
    rows = {"Verdict": summary["verdict"], **_parameter_words(summary["about"])}
    for span in summary["spans"]:
        rows[f"{span['name'].capitalize()} span"] = _span_words(span)
    for side, numbers in sides.items():
        rows[f"Base rate, {side}"] = percent(numbers["base_rate"])
        rows[f"Break-even, {side}"] = percent(numbers["break_even"])
    rows |= {
        "Signals": _by_side(sides, "signals", summary["signals"]),
        "Trades": _by_side(sides, "trades", trades["count"]),
        "Hit rate": interval(trades["hit_rate"], trades["hit_low"], trades["hit_high"]),
        "Break-even of the trades": percent(trades["break_even"]),
        "Gross gain": percent(money["gross"], sign=True),
        **_cost_words(summary),
        "Net gain": percent(money["net"], sign=True),
        "Equity at the end": percent(money["growth"], sign=True),
        "Profit factor": number(money["profit_factor"]),
        "Largest drawdown": percent(money["max_drawdown"]),
        "Brier skill": _skill_words(judged),
        "Calibration error": percent(judged["calibration_error"]),
    }
    for rule, told in summary.get("rules", {}).items():
        rows[f"Brier skill, {rule}"] = _skill_words(told.get("calibration", told))
    if "truth" in summary:
        rows["Of the truth"] = summary["truth"]["sentence"]
    if "caution" in summary:
        rows["Caution"] = caution_words(summary["caution"])
    rows |= as_lines(summary)
    return [{"metric": metric, "value": value} for metric, value in rows.items()]


def as_markdown(summary: Summary) -> str:
    """Return the result as Markdown: the verdict in one sentence, then the table."""
    rows = (f"| {row['metric']} | {_escaped(row['value'])} |" for row in as_table(summary))
    lines = [f"**{_escaped(summary['sentence'])}**", "", "| Metric | Value |", "|---|---|", *rows]
    return "\n".join([*lines, "", f"_{DISCLAIMER}_", ""])


def print_table(summary: Summary, console: Console | None = None) -> None:
    """Print the result to the terminal.

    Parameters
    ----------
    summary : dict
        What `summarise` returned.
    console : rich.console.Console, optional
        The terminal without it.
    """
    console = console or Console()
    table = Table(title=_name(summary) or None, title_justify="left", show_header=False)
    table.add_column("metric", style="dim")
    table.add_column("value")
    for row in as_table(summary):
        table.add_row(row["metric"], row["value"])
    console.print(table)
    console.print(summary["sentence"], style="bold", markup=False, highlight=False)


def _refuse_in_sample(predictions: pl.DataFrame, signals: pl.DataFrame) -> None:
    test = predictions.filter(pl.col("split") == "test")
    strange = signals.join(test, on="timestamp", how="anti")
    if strange.height:
        raise ValueError(
            f"{strange.height} signals lie outside the test span, the first at "
            f"{strange['timestamp'][0]}: give the strategy the rows whose split is 'test'"
        )


def _span(predictions: pl.DataFrame, split: str, horizon: int) -> Summary:
    rows = predictions.filter(pl.col("split") == split)
    resolved = rows.filter((pl.col("win_long") >= 0) | (pl.col("win_short") >= 0))
    first, last = (when.isoformat() if when else None for when in _ends(rows))
    return {
        "name": split,
        "first": first,
        "last": last,
        "bars": rows.height,
        "outcomes": resolved.height,
        "independent": _independent(resolved["position"].to_numpy(), horizon),
    }


def _parameter_words(about: Mapping[str, Any]) -> dict[str, str]:
    """Return the strategy's parameters, and of how many sets they were chosen."""
    if not about.get("parameters"):
        return {}
    told = ", ".join(f"{name} = {value:g}" for name, value in about["parameters"].items())
    tried = f", chosen on the past of {about['tried']:,} sets" if about.get("tried") else ""
    return {"Parameters": told + tried}


def _ends(rows: pl.DataFrame) -> list[datetime | None]:
    ends = rows["timestamp"].gather([0, -1]) if rows.height else [None, None]
    return list(ends)


def _independent(position: NDArray[np.int64], horizon: int) -> int:
    return int(non_overlapping(position, horizon).sum())


def _side(
    predictions: pl.DataFrame, signals: pl.DataFrame, simulation: Simulation, side: str
) -> Summary:
    test = predictions.filter(pl.col("split") == "test")
    mine = pl.col("side") == side
    return {
        "base_rate": base_rate(predictions, side),
        "break_even": mean(test, f"break_even_{side}"),
        "signals": signals.filter(mine).height,
        "trades": simulation.trades.filter(mine).height,
    }


def _hits(trades: pl.DataFrame) -> Summary:
    count, wins = trades.height, trades.filter(pl.col("gain") > 0).height
    low, high = map(finite, wilson(wins, count)) if count else (None, None)
    reasons = trades["exit_reason"].value_counts(sort=True).rows()
    return {
        "count": count,
        "wins": wins,
        "hit_rate": wins / count if count else None,
        "hit_low": low,
        "hit_high": high,
        "break_even": mean(trades, "break_even"),
        "bars_held": mean(trades, "bars_held"),
        "exits": dict(sorted(reasons)),
    }


def _money(simulation: Simulation) -> Summary:
    trades, equity = simulation
    gain = trades["gain"].to_numpy()
    won, lost = gain[gain > 0].sum(), -gain[gain < 0].sum()
    return {
        "gross": finite(trades["gross"].sum()),
        "cost": finite(trades["cost"].sum()),
        "net": finite(gain.sum()),
        "net_low": _net_low(gain),
        "growth": finite(equity["equity"][-1] - 1) if equity.height else 0.0,
        "profit_factor": finite(won / lost) if lost else None,
        "max_drawdown": finite(equity["drawdown"].min()) if equity.height else 0.0,
    }


def waterfall(trades: pl.DataFrame) -> list[Summary]:
    """Return what each cost takes of the gross gain, summed over trades, from gross to net.

    Parameters
    ----------
    trades : polars.DataFrame
        Columns of `simulation.TRADES`.

    Returns
    -------
    list of dict
        ``name`` and ``gain``: "gross at mid"; "spread", "slippage" and "commission", below zero;
        "swap", below zero where holding cost; "net", their sum.
    """
    whole = {name: float(trades[name].sum()) for name in ("gross", *CHARGES, "swap", "gain")}
    gains = {"gross at mid": whole["gross"]}
    gains |= {name: 0.0 - whole[name] for name in CHARGES}
    gains |= {"swap": whole["swap"], "net": whole["gain"]}
    return [{"name": name, "gain": finite(gain)} for name, gain in gains.items()]


def _cost_words(summary: Summary) -> dict[str, str]:
    """Return what stands between the gross and the net gain, a line each."""
    gains = {step["name"]: percent(step["gain"], sign=True) for step in summary["waterfall"][1:-1]}
    about = summary["about"]
    if "swap_long" in about and not (about["swap_long"] or about["swap_short"]):
        gains["swap"] = NO_SWAP
    if about.get("spread_source"):
        gains["spread"] += f", {about['spread_source']}"
    return {name.capitalize(): words for name, words in gains.items()}


def _net_low(gain: NDArray[np.float64]) -> float | None:
    """Return the 5 % bound of the net gain; trades do not overlap, so that they count singly."""
    if gain.size < 2:
        return None
    return finite(gain.sum() - BOUND * np.sqrt(gain.size) * gain.std(ddof=1))


def _reasons_against(summary: Summary) -> Iterator[str]:
    """Say in words what stands between this result and an edge; nothing, if it has one."""
    trades, money, judged = summary["trades"], summary["money"], summary["calibration"]
    independent = summary["spans"][-1]["independent"]
    if not judged["outcomes"]:
        yield "no bar of the test span has both a confidence and a known outcome"
    elif independent < LEAST_OUTCOMES:
        yield f"the test span holds only {independent} outcomes that do not overlap"
    if not summary["signals"]:
        yield NO_SIGNAL
    elif not trades["count"]:
        yield "no signal left room for a trade before the data ended or a hole came"
    elif trades["break_even"] is None or trades["hit_low"] <= trades["break_even"]:
        reach = (
            f"the hit rate is {interval(*(trades[f'hit_{k}'] for k in ('rate', 'low', 'high')))}"
        )
        yield f"{reach}, which does not lie above break-even ({percent(trades['break_even'])})"
    if trades["count"] and not (money["net"] or 0.0) > 0:
        yield f"the net gain is {percent(money['net'], sign=True)}"
    elif trades["count"] and not (money["net_low"] or 0.0) > 0:
        bound = percent(money["net_low"], sign=True)
        yield f"the net gain of {percent(money['net'], sign=True)} may be luck (5 % bound {bound})"
    if judged["outcomes"] and not (judged["skill_low"] or 0.0) > 0:
        skill = _skill_words(judged)
        yield f"confidence is not shown to beat the base rate (Brier skill {skill})"
    yield from _unshown(summary["rules"])


def _unshown(rules: Mapping[str, Summary]) -> Iterator[str]:
    """Say of which further exit rules confidence is not shown to tell anything."""
    for rule, judged in rules.items():
        if not (judged["skill_low"] or 0.0) > 0:
            yield f"nor is that of {rule} (Brier skill {_skill_words(judged)})"


def _sentence(summary: Summary) -> str:
    start = ": ".join(part for part in (_name(summary), summary["verdict"]) if part)
    if not summary["edge"]:
        return f"{start}: {'; '.join(summary['reasons'])}."
    trades, money = summary["trades"], summary["money"]
    hits = interval(trades["hit_rate"], trades["hit_low"], trades["hit_high"])
    return (
        f"{start}: {hits} of {trades['count']:,} trades won where break-even is "
        f"{percent(trades['break_even'])}, and the net gain is {percent(money['net'], sign=True)}."
    )


def _name(summary: Summary) -> str:
    about = summary["about"]
    return " ".join(str(about[key]) for key in ("pair", "timeframe") if about.get(key))


def _span_words(span: Summary) -> str:
    if not span["bars"]:
        return "no bars"
    first, last = (span[end][:16].replace("T", " ") for end in ("first", "last"))
    counts = f"{span['bars']:,} bars, {span['independent']:,} outcomes without overlap"
    return f"{first} to {last} UTC: {counts}"


def _by_side(sides: Summary, name: str, total: int) -> str:
    parts = ", ".join(f"{numbers[name]:,} {side}" for side, numbers in sides.items())
    return f"{total:,} ({parts})"


def _skill_words(judged: Summary) -> str:
    skill, low = judged["brier_skill"], judged["skill_low"]
    bound = f", 5 % bound {number(low, 4)}" if low is not None else ""
    return f"{number(skill, 4)}{bound}"


def _escaped(text: str) -> str:
    for sign in ("\\", "|", "*", "_", "<", "`"):
        text = text.replace(sign, f"\\{sign}")
    return text
