"""What `train_all` asks its machine for: series, bars that stay as they are, what children left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from infra.postgres.database import read_frame
from infra.stores import pinned
from tasks.folder import bar_store
from tasks.research.measure import BarsError
from tasks.rules import texts
from tasks.steps import step
from tasks.strategy import commands
from tasks.train import key_of

DEFAULT: Final = "H1"
_ENABLED: Final = "SELECT pair, timeframe FROM pairs WHERE enabled ORDER BY pair, timeframe"
_LEFT: Final = """
SELECT metrics ->> 'run' AS run, model_id, metrics ->> 'verdict' AS verdict,
    (metrics ->> 'passed')::boolean AS passed, metrics ->> 'machine' AS machine
FROM model WHERE metrics ->> 'run' = ANY(%s) AND NOT metrics ? 'of'
"""


@step("series", version=1)
def find_series(pairs: list[str] | None, timeframes: list[str] | None) -> list[str]:
    """Find what is to be trained.

    Parameters
    ----------
    pairs, timeframes : list of str, optional
        Without pairs: those that are enabled, of these timeframes alone. With pairs: each of
        these timeframes, H1 by default.

    Returns
    -------
    list of str
        `EUR_USD H1`, sorted.

    Raises
    ------
    BarsError
        If there is none.
    """
    if pairs is not None:
        return sorted({f"{pair} {each}" for pair in pairs for each in timeframes or (DEFAULT,)})
    rows = read_frame(_ENABLED).iter_rows()
    found = [f"{pair} {each}" for pair, each in rows if timeframes is None or each in timeframes]
    if not found:
        of = f" of {', '.join(timeframes)}" if timeframes else ""
        raise BarsError(f"no pair{of} is enabled: run `ingest` first, or name them by pairs")
    return found


def needed(strategy: str, series: str, others: Sequence[str]) -> list[str]:
    """Return the series whose bars the training of one looks at, its own first.

    Parameters
    ----------
    strategy : str
        Name or file.
    series : str
        `EUR_USD H1`.
    others : sequence of str
        Pairs that lead, or lend their past.
    """
    pair, timeframe = key_of(series)
    streams = texts.find(strategy, pair, timeframe).open().requires.streams
    looked_at = [f"{each.pair} {each.timeframe}" for each in streams]
    return list(dict.fromkeys([series, *looked_at, *(f"{each} {timeframe}" for each in others)]))


def files_of(strategy: str, series: str) -> dict[str, str]:
    """Return the texts of a strategy that is a file here; nothing of one that goes by its name.

    Parameters
    ----------
    strategy : str
        Name or file.
    series : str
        `EUR_USD H1`.
    """
    return texts.find(strategy, *key_of(series)).files if strategy.endswith(".sep") else {}


@step("pin", version=1)
def pin_bars(series: list[str]) -> dict[str, str]:
    """Keep the present bars of series for as long as they may be asked for.

    Parameters
    ----------
    series : list of str
        `EUR_USD H1`.

    Returns
    -------
    dict of str to str
        Their content hashes.

    Raises
    ------
    BarsError
        If there are none of one.
    """
    store = bar_store()
    found = {each: pinned.pin(store, *key_of(each)) for each in series}
    if missing := [each for each, digest in found.items() if digest is None]:
        raise BarsError(
            f"there are no bars of {', '.join(missing)} on this machine, where train_all runs: run "
            f"`ingest` for them first, {commands.ingest(*key_of(missing[0]))}"
        )
    return {each: digest for each, digest in found.items() if digest is not None}


def left(runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what runs of `train` left, by run: `model_id`, `verdict`, `passed`, `machine`.

    Parameters
    ----------
    runs : sequence of str
    """
    rows = read_frame(_LEFT, [list(runs)]).iter_rows(named=True)
    return {row["run"]: row for row in rows}
