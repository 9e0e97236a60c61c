"""The page of `sep sweep --html`: the heat map, the best sets, and what chance would have shown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Final

HEADINGS: Final = (
    "threshold", "horizon", "stop", "target", "trades", "hits", "net", "Sharpe", "drawdown",
    "beside", "least",
)  # fmt: skip
READING: Final = (
    "Sharpe ratios are of daily returns, not annualised. Beside it: mean and least ratio of the "
    "sets one step away; far below its own it is a spike, not a plateau."
)
_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em;
  background: #fff; color: #1b2530; }}
img {{ width: 100%; max-width: 46em; height: auto; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td, th {{ padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #e7eaee; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #14191f; color: #e6ebf0; }}
  td, th {{ border-color: #2a323b; }}
}}
</style></head><body><h1>{title}</h1>
"""


def page(
    title: str, words: Sequence[str], rows: Sequence[Sequence[str]], pictures: Sequence[bytes]
) -> str:
    """Return the page of a sweep, in one file.

    Parameters
    ----------
    title : str
    words : sequence of str
        A paragraph each.
    rows : sequence of sequence of str
        The best sets, by `HEADINGS`.
    pictures : sequence of bytes
        PNG for a light and for a dark screen.
    """
    light, dark = (f"data:image/png;base64,{b64encode(each).decode()}" for each in pictures)
    drawn = (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="Sharpe ratios of two axes; the best set is framed"></picture>'
    )
    said = "".join(f"<p>{escape(each)}</p>" for each in (*words, READING))
    head = "".join(f"<th>{name}</th>" for name in HEADINGS)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<div><table><tr>{head}</tr>{body}</table></div>"
    return f"{_HEAD.format(title=escape(title))}{drawn}{table}{said}</body></html>\n"


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"
