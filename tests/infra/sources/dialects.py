"""Dialects: ways in which files write bars, drawn at random together with the bars.

Written by the standard library, so that it shares nothing with the reader. To look at one:

    python -m tests.infra.sources 17
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.infra.sources.drawn import Drawn, draw, with_quotes
from tests.infra.sources.sheets import Sheet, laid_out, unpacked
from tests.infra.sources.stamps import Column, Stamps, stamps

SIDES = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in "ohlc")


@dataclass(frozen=True)
class Dialect:
    """Bars, a file of them, and what a user would say of it.

    Attributes
    ----------
    kind : str
    drawn : Drawn
        What must come back.
    files : dict of str to bytes
    path : str
        The file, folder or glob to read.
    source : str
    full : dict
        What an informed user declares.
    some : dict
        A part of it that he may forget: then the bars are the same, or refused.
    junk : int
        Rows that are none: footers, rows of separators, rows that a later one replaces.
    exact : bool
        Whether each price is written as it is, and not scaled or made of bid and ask.
    lossy : bool
        Whether a volume may be lost even so, such as `68.18K` or a publisher's 0.
    """

    kind: str
    drawn: Drawn
    files: dict[str, bytes]
    path: str
    source: str = "csv"
    full: dict[str, Any] = field(default_factory=dict)
    some: dict[str, Any] = field(default_factory=dict)
    junk: int = 0
    exact: bool = True
    lossy: bool = False

    @classmethod
    def random(cls, rng: Random) -> Dialect:
        """Draw bars and a dialect."""
        from tests.infra.sources.frames import frame  # they make dialects themselves
        from tests.infra.sources.presets import preset

        ways: list[Callable[[Random], Dialect]] = [text, preset, frame]
        return rng.choices(ways, [75, 20, 5])[0](rng)

    def write(self, folder: Path) -> Path:
        """Write the files; the path to read."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.path

    def request(self, path: Path, options: dict[str, Any]) -> dict[str, Any]:
        """What `IngestRequest` is asked."""
        named = {"pair": self.drawn.pair, "timeframe": self.drawn.timeframe}
        return {**named, "source": self.source, "path": path, **options}

    def __str__(self) -> str:
        name, content = next(iter(self.files.items()))
        lines = unpacked(content, Path(name).suffix)[:600].split(b"\n")[:5]
        told = f"{self.drawn.pair} {self.drawn.timeframe}, {len(self.drawn.bars)} bars"
        shown = "\n".join(f"    {line!r}" for line in lines)
        return f"{self.kind} {told}, {name} ({len(self.files)})\n{shown}"


def forgotten(rng: Random, full: dict[str, Any], needed: frozenset[str]) -> dict[str, Any]:
    """Options less some that are not needed."""
    return {name: told for name, told in full.items() if name in needed or rng.random() < 0.5}


@dataclass(frozen=True)
class Numbers:
    """How a column of numbers is written: what is written times 10**scale is the number."""

    mark: str = "."
    thousands: str = ""
    trim: bool = False
    scale: int = 0

    def written(self, points: int, digits: int) -> str:
        """Write points of 10**-digits.

        Parameters
        ----------
        points, digits : int
        """
        digits += self.scale
        whole, rest = divmod(points, 10**digits)
        decimals = f"{rest:0{digits}d}" if digits else ""
        if self.trim:
            decimals = decimals.rstrip("0")
        grouped = f"{whole:,}".replace(",", self.thousands)
        return f"{grouped}{self.mark}{decimals}" if decimals else grouped

    def lots(self, volume: float | None, unknown: str = "") -> str:
        """Write a volume.

        Parameters
        ----------
        volume : float or None
        unknown : str
            What stands for None.
        """
        if volume is None:
            return unknown
        plain = Numbers(self.mark, self.thousands, trim=True)
        return plain.written(round(volume * 100), 2)

    @classmethod
    def random(cls, rng: Random, digits: int) -> Numbers:
        """Draw a way; scales leave no more digits than there are.

        Parameters
        ----------
        rng : random.Random
        digits : int
            Of the pair.
        """
        mark = rng.choice("...,")
        marks = {".": [",", ",", " ", "'"], ",": [".", ".", " ", "\u00a0"]}
        thousands = rng.choice(marks[mark]) if rng.random() < 0.2 else ""
        scale = rng.choice([-digits, -digits, 1 - digits, 2]) if rng.random() < 0.08 else 0
        return cls(mark, thousands, rng.random() < 0.5, scale)

    @property
    def options(self) -> dict[str, Any]:
        """What of it must be declared."""
        told: dict[str, Any] = {}
        if self.mark == "," or self.thousands:
            told["decimal"] = self.mark
        return {**told, "scale": float(f"1e{self.scale}")} if self.scale else told


_NAMES = (
    *(("open", "high", "low", "close", "volume"),) * 3,
    *(("Open", "High", "Low", "Close", "Volume"),) * 3,
    ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"),
    ("<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"),
    ("Open", "High", "Low", "Close", "Vol"),
    ("open", "high", "low", "close", "tick_volume"),
)
_FOREIGN = (
    ("Eröffnung", "Hoch", "Tief", "Schluss", "Volumen"),
    ("Ouverture", "Haut", "Bas", "Clôture", "Quantité"),
    ("o", "h", "l", "c", "v"),
    ("px_first", "px_max", "px_min", "px_last", "qty"),
)
_OURS = ("open", "high", "low", "close", "volume")
_QUOTES: tuple[Callable[[str, str], str], ...] = (
    lambda side, price: f"{side}_{price}",
    lambda side, price: f"{side.title()}{price.title()}",
    lambda side, price: f"{side.title()} {price.title()}",
    lambda side, price: f"{side}-{price}",
)


def price_columns(rng: Random, drawn: Drawn, how: Numbers, names: tuple[str, ...]) -> list[Column]:
    """Open, high, low and close, and the volume where bars have one."""
    halves = [bar.spread or 0 for bar in drawn.bars]
    cells = [
        [
            how.written(bar.points[i] + half // 2, drawn.digits)
            for bar, half in zip(drawn.bars, halves, strict=True)
        ]
        for i in range(4)
    ]
    columns = list(zip(names, cells, strict=False))
    if any(bar.volume is not None for bar in drawn.bars):
        unknown = rng.choice(["", "", "-", "N/A", "n/a", "NaN"])
        columns.append((names[4], [how.lots(bar.volume, unknown) for bar in drawn.bars]))
    return columns


def quote_columns(rng: Random, drawn: Drawn, how: Numbers) -> list[Column]:
    """Bid and ask, four of each."""
    name, columns = rng.choice(_QUOTES), []
    for side, above in (("bid", 0), ("ask", 1)):
        for i, price in enumerate(_OURS[:4]):
            points = [bar.points[i] + above * (bar.spread or 0) for bar in drawn.bars]
            columns.append((name(side, price), [how.written(n, drawn.digits) for n in points]))
    return columns


def text(rng: Random) -> Dialect:
    """Draw a CSV."""
    headless, closes = rng.random() < 0.12, rng.random() < 0.1
    drawn = draw(rng)
    quoted = not headless and rng.random() < 0.12
    drawn = with_quotes(rng, drawn) if quoted else drawn
    moments = [bar.time + drawn.length * closes for bar in drawn.bars]
    stamped = stamps(rng, drawn, moments, headless=headless)
    how = Numbers.random(rng, drawn.digits)
    full, columns = _columns(rng, drawn, how, stamped, headless=headless)
    needed = stamped.needed | ({"stamp"} if closes else set())
    if drawn.pair == "XAU_USD":  # whose price has been a tenth, and may be tenfold
        needed |= {"scale"}
    full |= {"stamp": "close"} if closes else {}
    dialect = Dialect("text", drawn, {}, "", full=full, some=forgotten(rng, full, needed))
    grid, junk = _grid(rng, drawn, columns, how, len(stamped.columns))
    return _written(rng, dialect, grid, junk, how, quoted=quoted, headless=headless)


def _columns(
    rng: Random, drawn: Drawn, how: Numbers, stamped: Stamps, *, headless: bool
) -> tuple[dict[str, Any], list[Column]]:
    foreign = not headless and rng.random() < 0.08
    names = rng.choice(_FOREIGN if foreign else _NAMES)
    values = price_columns(rng, drawn, how, names)
    full = {**stamped.options, **how.options}
    if foreign:
        mapped = dict(zip(_OURS, (name for name, _ in values), strict=False))
        full["columns"] = {**full.get("columns", {}), **mapped}
    if drawn.bars[0].spread is not None:
        bare = rng.random() < 0.5 and not foreign
        values = quote_columns(rng, drawn, how) + values[4 * bare :]
    if not headless and rng.random() < 0.2:
        rng.shuffle(values)
    if "decimal" not in full and rng.random() < 0.1:
        full["decimal"] = how.mark
    columns = [*stamped.columns, *values]
    if headless:
        return full | {"columns": _numbered(stamped, values)}, columns
    return full, _with_extras(rng, drawn, columns)


def _numbered(stamped: Stamps, values: list[Column]) -> dict[str, str]:
    """Columns without a header, by number."""
    times = ("date", "time") if len(stamped.columns) == 2 else ("timestamp",)
    names = [*times, *_OURS[: len(values)]]
    return {name: str(number) for number, name in enumerate(names, 1)}


def _with_extras(rng: Random, drawn: Drawn, columns: list[Column]) -> list[Column]:
    """Columns that a reader has no use for, anywhere behind those of time; a ticker anywhere."""
    n = len(drawn.bars)
    ticker = rng.choice([drawn.pair, drawn.pair.replace("_", ""), drawn.pair.replace("_", "/")])
    words = ["", "ok", "late, again", 'called "bad"', "Börse", "a;b|c", "two\nlines", "1,234"]
    extras = [
        (rng.choice(["Ticker", "Symbol", "<TICKER>", "symbol"]), [ticker] * n),
        ("Spread", [str(rng.randint(0, 30)) for _ in range(n)]),
        ("Change %", [f"{rng.gauss(0, 1):.2f}%" for _ in range(n)]),
        ("Comment", [rng.choice(words) for _ in range(n)]),
        ("Trades", [str(rng.randint(1, 9)) for _ in range(n)]),
    ]
    for extra in rng.sample(extras, rng.choices([0, 1, 2], [7, 2, 1])[0]):
        first = (
            0 if columns[0][0] else 1
        )  # a column without a name is one of time where it is first
        place = first if extra[1][0] == ticker else rng.randint(2, len(columns))
        columns.insert(place, extra)
    return columns


def _grid(
    rng: Random, drawn: Drawn, columns: list[Column], how: Numbers, times: int
) -> tuple[list[list[str]], int]:
    """Header and rows in the order of the file, and how many of them a later one replaces."""
    header = [name for name, _ in columns]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    order = rng.choices(["ascending", "newest first", "blocks"], [7, 2, 1])[0]
    if order == "newest first":
        rows.reverse()
    elif order == "blocks" and len(rows) > 4:
        cut = rng.randint(1, len(rows) - 1)
        rows = rows[cut:] + rows[:cut]
    stale = rng.sample(range(len(rows)), min(3, len(rows))) if rng.random() < 0.12 else []
    digits = [header.index(name) for name, _ in columns if _is_price(name)]
    for place in sorted(stale, reverse=True):
        old = rows[place].copy()
        for column in digits:
            old[column] = _nudged(old[column])
        rows.insert(place, old)
    return [header, *rows], len(stale)


def _is_price(name: str) -> bool:
    plain = name.strip("<>").lower()
    return any(word in plain for word in ("open", "high", "low", "close"))


def _nudged(cell: str) -> str:
    """Another price: the first digit that is not at an end is another one, in all four alike."""
    head, digit, tail = cell[:-2], cell[-2:-1], cell[-1]
    return f"{head}{(int(digit) + 1) % 10}{tail}" if digit.isdigit() else cell


def _written(
    rng: Random,
    dialect: Dialect,
    grid: list[list[str]],
    junk: int,
    how: Numbers,
    *,
    quoted: bool,
    headless: bool,
) -> Dialect:
    separators = [",", ",", ";", "\t", "|"] if how.mark == "." else [";", ";", "\t", "|", ","]
    sheet = Sheet.random(rng, rng.choice(separators), headless=headless)
    footers = []
    if rng.random() < 0.12:
        footers = [rng.choice(["Data provided by Example Markets", "© Example", "Source: made up"])]
    files, path = laid_out(rng, sheet, grid, footers, whole=junk > 0)
    return replace(
        dialect,
        files=files,
        path=path,
        junk=junk + (sheet.hollow + len(footers)) * len(files),
        exact=not (how.scale or quoted),
    )
