"""Tables of a report: parts of a summary, written out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kernels.outcomes import SIDES
from tasks.reports.format import number, percent
from tasks.reports.markdown import escape

PERIODS: Final = {
    "year": ("Years", "Year"),
    "session": ("Sessions, by the clock of each place", "Session"),
    "hour": ("Hours, UTC", "Hour"),
}
TRIALS: Final = {
    "runs": "Runs on these bars",
    "sets": "Sets of parameters that they tried",
    "effective": "About independent ones among them",
    "openings": "Times that a holdout of these bars was opened",
    "own": "Sets that this run compared",
}
"""Names of what is known of trials; all else goes by its own."""

Row = Mapping[str, Any]


class Table(NamedTuple):
    """A table, written out.

    Attributes
    ----------
    title : str
    columns : list of str
    rows : list of list of str
    note : str
        What to know of it; may be empty.
    words : bool
        Whether cells are words, which stand left, not numbers.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    words: bool = False


def tables_of(summary: Row) -> dict[str, list[Table]]:
    """Return the tables of what a summary has, by the part of the report they belong to."""
    gate, steps = summary.get("gate"), summary.get("waterfall")
    return {
        "gate": [gate_table(gate)] if gate else [],
        "waterfall": [waterfall_table(steps)] if steps else [],
        "calibration": list(calibration_tables(summary.get("shown", {}))),
        "periods": list(period_tables(summary.get("periods", {}))),
    }


def as_markdown(tables: Iterable[Table]) -> str:
    """Return tables as Markdown, each with its title and note."""
    return "\n".join(line for table in tables for line in _lines(table))


def gate_table(gate: Sequence[Row]) -> Table:
    """Return the gate: each check with its value, its threshold and PASS or FAIL."""
    rows = [
        [
            str(check["name"]),
            "PASS" if check["passed"] else "FAIL",
            _value(check["value"]),
            _value(check["threshold"]),
            str(check.get("why") or ""),
        ]
        for check in gate
    ]
    return Table("Gate", ["Check", "Result", "Value", "Threshold", "Why"], rows, words=True)


def waterfall_table(steps: Sequence[Row]) -> Table:
    """Return the way from gross to net."""
    rows = [[str(step["name"]), percent(step["gain"], sign=True)] for step in steps]
    return Table("From gross to net", ["Step", "Gain"], rows, "Summed over the trades.")


def calibration_tables(shown: Mapping[str, Row]) -> Iterator[Table]:
    """Yield what is shown of the calibration of each exit rule."""
    for rule, told in shown.items():
        of_rule = f", {rule}" if len(shown) > 1 else ""
        yield _brier_table(f"Calibration{of_rule}", told)
        if told["skills"]:
            yield _skill_table(f"Beside simple forecasts{of_rule}", told)
        if told["ablation"]:
            yield _ablation_table(f"Without one learner{of_rule}", told["ablation"])


def period_tables(periods: Mapping[str, Sequence[Row]]) -> Iterator[Table]:
    """Yield trades by year, session and hour."""
    for kind, (title, first) in PERIODS.items():
        rows = [
            [
                each["name"],
                f"{each['trades']:,}",
                percent(each["hit_rate"], digits=1),
                f"{100 * each['hit_low']:.1f} to {percent(each['hit_high'], digits=1)}",
                percent(each["net"], sign=True),
            ]
            for each in periods.get(kind, ())
        ]
        if rows:
            yield Table(title, [first, "Trades", "Hit rate", "95 % interval", "Net gain"], rows)


def trials_rows(trials: Row) -> list[tuple[str, str]]:
    """Return what is known of trials as names and values."""
    return [(TRIALS.get(name, name.replace("_", " ")), _value(v)) for name, v in trials.items()]


def choice_rows(plateau: Row, paths: Row) -> list[tuple[str, str]]:
    """Return what was chosen, how its neighbours did, and the way of choosing on other paths.

    Parameters
    ----------
    plateau : dict
        ``parameters``, and ``trades``, ``sharpe``, ``neighbours`` (``mean``, ``least``, ``count``)
        where they are known.
    paths : dict
        ``sharpe``: one ratio a path.
    """
    chosen = plateau.get("parameters") or {}
    rows = [(f"Chosen: {name}", _value(value)) for name, value in chosen.items()]
    if "sharpe" in plateau:
        rows.append(("Sharpe ratio a day, chosen", number(plateau["sharpe"], 3)))
    if near := plateau.get("neighbours"):
        words = f"{number(near['mean'], 3)} in the mean, {number(near['least'], 3)} the least"
        rows.append(("Its neighbours", f"{words}, of {near['count']:,}"))
    if ratios := sorted(paths.get("sharpe") or ()):
        reach = f"{number(ratios[0], 3)} to {number(ratios[-1], 3)}"
        middle = number(ratios[len(ratios) // 2], 3)
        rows.append(("Sharpe ratio a day on other paths", f"{middle} ({reach}, {len(ratios)})"))
    return rows


def _lines(table: Table) -> Iterator[str]:
    yield from (f"### {table.title}", "")
    for row in (table.columns, ["---"] * len(table.columns), *table.rows):
        yield f"| {' | '.join(row if row[0] == '---' else map(escape, row))} |"
    yield from ("", table.note, "")


def _brier_table(title: str, told: Row) -> Table:
    columns = ["Side", "Outcomes", "Base rate", "Brier", "MCB", "DSC", "UNC"]
    rows, notes = [], ["Brier = MCB − DSC + UNC."]
    for side in SIDES:
        mine = told["sides"][side]
        parts = mine["brier"] or {}
        names = ("score", "miscalibration", "discrimination", "uncertainty")
        rows.append(
            [side, f"{mine['outcomes']:,}", percent(mine["base_rate"], digits=1)]
            + [number(parts.get(name), 5) for name in names]
        )
        if mine["why"]:
            notes.append(f"Not shown of {side}: {mine['why']}.")
        elif (bands := mine["bands"]) and bands["every"] > 1:
            notes.append(f"The bands of {side} are of one outcome in {bands['every']}.")
    return Table(title, columns, rows, " ".join(notes))


def _skill_table(title: str, told: Row) -> Table:
    kinds = [kind for kind in ("both", *SIDES) if kind in told["skills"][0]]
    rows = [[each["name"], *(_skill(each[kind]) for kind in kinds)] for each in told["skills"]]
    note = (
        "Brier skill with its 95 % interval, against the base rate of library and calibration, on "
        "which all are fitted."
    )
    return Table(title, ["Forecast", *(kind.capitalize() for kind in kinds)], rows, note)


def _ablation_table(title: str, ablation: Sequence[Row]) -> Table:
    rows = [
        [each["name"], number(each["weight"]), _skill(each["without"]), _skill(each["adds"])]
        for each in ablation
    ]
    note = "The learner's weight is set to 0, the others keep theirs: they are not fitted anew."
    return Table(title, ["Learner", "Weight", "Skill without it", "It adds"], rows, note)


def _skill(told: Row) -> str:
    if told["skill"] is None or not any(told.values()):
        return number(None) if told["skill"] is None else "0"
    return f"{number(told['skill'], 4)} ({number(told['low'], 4)} to {number(told['high'], 4)})"


def _value(value: Any) -> str:
    if value is None:
        return number(None)
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
