"""The strategy language over a million bars: thirty expressions, and the slow windows alone.

The peer is Polars' own rolling functions, whose running sums depend on where the data begin; what
both say must agree to six digits.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import numpy as np
import polars as pl

from tasks.strategy.language.parsing import parse
from tasks.strategy.language.program import Program

BARS = 1_000_000
LONG = 500
THIRTY: dict[str, tuple[str, pl.Expr]] = {
    f"{name}{n}": (text.format(n=n), expression(n))
    for n in (14, 20, 50)
    for name, text, expression in (
        ("mean", "mean(close(), {n})", lambda n: pl.col("close").rolling_mean(n)),
        ("sum", "sum(entropy(), {n})", lambda n: pl.col("entropy").rolling_sum(n)),
        ("stddev", "stddev(close(), {n})", lambda n: pl.col("close").rolling_std(n, ddof=0)),
        ("highest", "highest(high(), {n})", lambda n: pl.col("high").rolling_max(n)),
        ("lowest", "lowest(low(), {n})", lambda n: pl.col("low").rolling_min(n)),
        ("range", "(high() - low()) / {n}", lambda n: (pl.col("high") - pl.col("low")) / n),
        ("mix", "0.5 * coherence() + {n} * entropy()",
         lambda n: 0.5 * pl.col("coherence") + n * pl.col("entropy")),
        ("above", "close() > {n} / 10", lambda n: pl.col("close") > n / 10),
        ("both", "coherence() > 0.5 && entropy() < {n} / 50",
         lambda n: (pl.col("coherence") > 0.5) & (pl.col("entropy") < n / 50)),
        ("body", "abs(close() - open()) * {n}",
         lambda n: (pl.col("close") - pl.col("open")).abs() * n),
    )
}  # fmt: skip
"""Text, and the same in Polars."""

SLOW: dict[str, tuple[str, pl.Expr | None]] = {
    "percentile_rank": (f"percentile_rank(close(), {LONG})", None),
    "percentile": (f"percentile(close(), 0.9, {LONG})",
                   pl.col("close").rolling_quantile(0.9, "linear", window_size=LONG)),
    "median": (f"median(close(), {LONG})", pl.col("close").rolling_median(LONG)),
    "correlation": (f"correlation(close(), high(), {LONG})",
                    pl.rolling_corr("close", "high", window_size=LONG)),
}  # fmt: skip


def main() -> list[dict[str, Any]]:
    """Print times and ratios."""
    table = bars(BARS)
    figures = [compiling()]
    print(
        f"{'expressions over ' + format(BARS, ',') + ' bars':<44}{'s':>8}{'core s':>9}{'Polars':>9}"
    )
    figures.append(compared("thirty expressions", {n: t for n, (t, _) in THIRTY.items()}, table,
                            {n: e for n, (_, e) in THIRTY.items()}))  # fmt: skip
    for name, (text, expression) in SLOW.items():
        peers = {} if expression is None else {name: expression}
        figures.append(compared(f"{name}, n = {LONG}", {name: text}, table, peers))
    figures.append(incremental(table))
    return figures


def bars(count: int) -> pl.DataFrame:
    """Minutes of a walk with metrics."""
    rng = np.random.default_rng(0)
    close = 1.1 * np.exp(np.cumsum(rng.normal(0, 1e-4, count)))
    start = pl.datetime(2015, 1, 1, time_zone="UTC")
    reach = rng.exponential(1e-4, (2, count))
    return pl.DataFrame(
        {
            "open": np.roll(close, 1), "high": close + reach[0], "low": close - reach[1],
            "close": close, "entropy": rng.random(count), "coherence": rng.random(count),
        }
    ).select(
        (start + pl.duration(minutes=pl.int_range(pl.len()))).alias("timestamp"), pl.all()
    )  # fmt: skip


def program(expressions: dict[str, str]) -> Program:
    lines = "\n".join(f"    {name} = {text};" for name, text in expressions.items())
    fires = " || ".join(
        f"p.{name}" if ">" in text else f"p.{name} > 1e9" for name, text in expressions.items()
    )
    return Program.of(f"""
        stream m1 from "EUR_USD" {{ timeframe: "M1" }}
        pattern p {{ {lines} }}
        signal s {{ trigger: {fires}; action: BUY; stop: 0.01; horizon: 5; weekend: true; }}
    """)


def compiling() -> dict[str, Any]:
    """Time from text to checked program, the grammar read before."""
    text = program({name: text for name, (text, _) in THIRTY.items()}).text
    parse(text)
    seconds = timed(lambda: Program.of(text))
    print(f"compile thirty expressions: {seconds * 1e3:.0f} ms")
    return {"what": "compile", "seconds": seconds}


def compared(
    what: str, texts: dict[str, str], table: pl.DataFrame, peers: dict[str, pl.Expr]
) -> dict[str, Any]:
    """Time a program of expressions, and Polars at the same."""
    made = program(texts)
    values = made.values({"m1": table})["m1"]
    ours = timed(lambda: made.evaluate({"m1": table}))
    core = timed(lambda: made.evaluate({"m1": table}), clock=process_time)
    theirs = timed(lambda: table.select(**peers)) if peers else float("nan")
    expected = table.select(**peers) if peers else pl.DataFrame()
    for name in expected.columns:
        a, b = (one.cast(pl.Float64).to_numpy() for one in (values[f"p.{name}"], expected[name]))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9, err_msg=name)
    print(f"{what:<44}{ours:>8.3f}{core:>9.3f}{theirs:>9.3f}", flush=True)
    return {"what": what, "seconds": ours, "core": core, "peer": theirs}


def incremental(table: pl.DataFrame) -> dict[str, Any]:
    """Time the last bar's signals from the window that the program asks for."""
    made = program({name: text for name, (text, _) in THIRTY.items()})
    window = made.window({"m1": table})
    last = made.values(window)["m1"].tail(1)
    assert last.equals(made.values({"m1": table})["m1"].tail(1)), "the window is not enough"
    seconds = timed(lambda: made.evaluate(window))
    print(f"the last bar from {window['m1'].height} bars: {seconds * 1e3:.1f} ms")
    return {"what": "incremental", "seconds": seconds}


def timed(
    call: Callable[[], Any], runs: int = 3, clock: Callable[[], float] = perf_counter
) -> float:
    """Return the least of some times, the first run left out."""
    call()
    times = []
    for _ in range(runs):
        begin = clock()
        call()
        times.append(clock() - begin)
    return min(times)
