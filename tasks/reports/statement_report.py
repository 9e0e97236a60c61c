"""A day's statement for people: Markdown with its tables, and the files that are kept of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.files import replaced
from infra.settings import settings
from tasks.reports.markdown import escape
from tasks.trading.shadow import Comparison
from tasks.trading.statement import Statement


def tables(statement: Statement, comparison: Comparison | None) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a statement by their titles; those without a row are left out.

    Parameters
    ----------
    statement : Statement
    comparison : Comparison or None
        With the account's shadow on paper, if it has one.
    """
    figures = [{"what": name, "value": value} for name, value in statement.totals().items()]
    every = {
        f"Day, {statement.currency}": figures,
        "By pair": statement.by("pair"),
        "By strategy": statement.by("strategy"),
        "Fills": statement.fills,
    }
    if comparison is not None:
        every["Pips worse than on paper"] = comparison.summary()
        every["Signals that only one traded"] = [
            {"by": by, "signals": ", ".join(map(str, signals))}
            for by, signals in (("venue", comparison.alone), ("paper", comparison.paper_alone))
            if signals
        ]
    return {title: rows for title, rows in every.items() if rows}


def as_markdown(
    statement: Statement, comparison: Comparison | None, picture: bytes | None = None
) -> str:
    """Return a statement as Markdown.

    Parameters
    ----------
    statement : Statement
    comparison : Comparison or None
    picture : bytes, optional
        PNG that is put into the text itself.
    """
    lines = [f"# {escape(statement.account)}, {statement.day}"]
    if picture is not None:
        inline = base64.b64encode(picture).decode()
        lines.append(f"![equity](data:image/png;base64,{inline})")
    for title, rows in tables(statement, comparison).items():
        lines += [f"## {title}", _table(rows)]
    return "\n\n".join(lines) + "\n"


def keep(statement: Statement, comparison: Comparison | None) -> tuple[Path, Path]:
    """Write a statement and its picture under `statements` in the home; return both files.

    Parameters
    ----------
    statement : Statement
    comparison : Comparison or None
    """
    from tasks.reports.statement_pictures import draw_statement  # Matplotlib

    path = path_of(statement.account, str(statement.day))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    picture = path.with_suffix(".png")
    with replaced(picture) as draft:
        draft.write_bytes(draw_statement(statement))
    with replaced(path) as draft:
        draft.write_text(as_markdown(statement, comparison))
    return path, picture


def path_of(account: str, day: str) -> Path:
    """Return where a day's statement is kept.

    Parameters
    ----------
    account, day : str
    """
    folder = re.sub(r"[^A-Za-z0-9_-]", "-", account)
    return settings().home / "statements" / folder / f"{day}.md"


def shown(value: Any) -> str:
    """Return a value as a cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.5g}" if abs(value) < 10 else f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(escape(shown(row[name])) for name in names) + " |" for row in rows]
    return "\n".join(lines)
