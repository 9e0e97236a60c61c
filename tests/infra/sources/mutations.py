"""Files of bars after an accident: cut, joined, flipped, misnamed, packed and damaged.

The bytes come from `tests.infra.sources.dialects`, and what is done to them from the standard
library. `assert_bars_or_a_word` says what may come of any of them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from infra.bars import PRICES
from tests.infra.sources.dialects import Dialect
from tests.infra.sources.frames import frame
from tests.infra.sources.reading import CRASHES, Outcome, read
from tests.infra.sources.sheets import packed

SECONDS, SECONDS_PER_10_MB = 5.0, 1.0
SOURCES = ("csv", "parquet", "histdata", "metatrader", "dukascopy", "truefx", "lean")
_NAMES = (
    "bars.csv",
    "bars.txt",
    "bars.parquet",
    "bars.npy",
    "bars",
    "bars.feather",
    "20240603.csv",
)
_PACKINGS = ("", ".gz", ".zip", ".bz2", ".xz", ".zst")

_ODD = (
    *(b"\0", b"\0" * 300, b'"', b'""', b'"""', b"\r", b"\n\n", b"\x1a", b"\xff\xfe", b"\\"),
    *(b"\xe2\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b",", b";", b"-", b"1e400", b"NaN"),
    *(b"99999999999999999999", b"-9223372036854775808", b"0000-00-00", b"=1+1", b"x" * 70_000),
    *(b"\xef\xbb\xbf", "٣".encode(), "−1".encode(), b"inf", b"{}", b"9999-12-31T23:59:59Z"),
)
_FEW = (b"", b"\n", b" ", b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"PK", b"PAR1", b"\x1f\x8b")

Mutation = Callable[[Random, bytes], bytes]


def cut(rng: Random, content: bytes) -> bytes:
    """The begin, the end or the middle of it alone."""
    one, other = sorted(rng.randint(0, len(content)) for _ in range(2))
    return rng.choice([content[:one], content[one:], content[one:other]])


def hole(rng: Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + content[at + rng.choice([1, 2, 17, 500]) :]


def again(rng: Random, content: bytes) -> bytes:
    """A span of it comes twice, or all of it."""
    one, other = sorted(rng.randint(0, len(content)) for _ in range(2))
    return rng.choice([content + content, content[:other] + content[one:]])


def flips(rng: Random, content: bytes) -> bytes:
    flipped = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 20, 200])):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= rng.choice([1 << rng.randrange(8), 0xFF])
    return bytes(flipped)


def inserted(rng: Random, content: bytes) -> bytes:
    """What no one expects, somewhere."""
    at = rng.randint(0, len(content))
    odd = rng.choice(_ODD)
    return content[:at] + odd + content[at:]


def quotes(rng: Random, content: bytes) -> bytes:
    """Quotation marks go, or come where none belong."""
    places = [at for at, byte in enumerate(content) if byte == 0x22]
    if places and rng.random() < 0.5:
        at = rng.choice(places)
        return content[:at] + content[at + 1 :]
    at = rng.randint(0, len(content))
    return content[:at] + b'"' + content[at:]


def lines(rng: Random, content: bytes) -> bytes:
    """Lines in another order, without some, or without the first."""
    parts = content.split(b"\n")
    kind = rng.randrange(3)
    if kind == 0:
        rng.shuffle(parts)
    elif kind == 1:
        parts = [part for part in parts if rng.random() < 0.8]
    return b"\n".join(parts[kind == 2 :])


def fields(rng: Random, content: bytes) -> bytes:
    """One field of a line is another one's, or gone."""
    parts = content.split(b"\n")
    at = rng.randrange(len(parts))
    separator = rng.choice([b",", b";", b"\t"])
    cells = parts[at].split(separator)
    cells[rng.randrange(len(cells))] = rng.choice(cells) if rng.random() < 0.5 else b""
    parts[at] = separator.join(cells[rng.randrange(2) :])
    return b"\n".join(parts)


def encoded(rng: Random, content: bytes) -> bytes:
    """The same text in an encoding that nothing names."""
    text = content.decode("latin-1")
    names = ["utf-16-le", "utf-16-be", "utf-32", "utf-8", "utf-7", "cp037"]
    return text.encode(rng.choice(names), errors="replace")


def emptied(rng: Random, content: bytes) -> bytes:
    return rng.choice(_FEW) + rng.choice([b"", content[:3]])


MUTATIONS: tuple[Mutation, ...] = (
    *(cut, hole, again, flips, inserted, quotes, lines, fields, encoded, emptied),
    *(flips, inserted, quotes, fields),
)


@dataclass(frozen=True)
class Mutated:
    """A file after an accident, and what is asked of it."""

    name: str
    content: bytes
    request: dict[str, Any]
    done: tuple[str, ...]

    @classmethod
    def random(cls, rng: Random) -> Mutated:
        """Draw one: a sound file first, then what befalls it, packed before, behind or not."""
        sound = frame(rng) if rng.random() < 0.15 else Dialect.random(rng)
        name, content = rng.choice(list(sound.files.items()))
        done, name = [sound.kind], Path(name).name
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            mutation = rng.choice(MUTATIONS)
            content, done = mutation(rng, content), [*done, mutation.__name__]
        if rng.random() < 0.1:
            other = next(iter(Dialect.random(rng).files.values()))
            at = rng.randint(0, len(other))
            content, done = content + other[at:], [*done, "spliced"]
        if rng.random() < 0.25:
            ending = rng.choice([kind for kind in _PACKINGS[:-1] if kind])
            content, name = packed(content, ending, name), name + ending
            done.append(ending)
            if rng.random() < 0.6:
                damage = rng.choice([cut, hole, flips])
                content, done = damage(rng, content), [*done, damage.__name__]
        if rng.random() < 0.2:
            name = rng.choice(_NAMES) + rng.choice(_PACKINGS)
        source = rng.choice(SOURCES) if rng.random() < 0.15 else sound.source
        options = rng.choice([sound.full, sound.some, {}])
        named = {"pair": sound.drawn.pair, "timeframe": sound.drawn.timeframe, "source": source}
        return cls(name, content, {**named, **options}, tuple(done))


def check(seed: int) -> Counter[str]:
    """Read the file of a seed: bars, or a word on why not, and soon.

    Returns
    -------
    Counter
        `files`, and whether it was `refused` or `read`.

    Raises
    ------
    AssertionError
        If anything else comes of it.
    """
    mutated = Mutated.random(Random(seed))
    about = f"\nseed {seed}: {mutated.name}, {mutated.request}, {', '.join(mutated.done)}\n   "
    with TemporaryDirectory() as folder:
        path = Path(folder) / mutated.name
        path.write_bytes(mutated.content)
        begin = time.process_time()
        try:
            outcome = read(path=path, **mutated.request)
        except CRASHES as error:
            raise AssertionError(f"{about} {type(error).__name__}: {error}") from error
        seconds = time.process_time() - begin
    try:
        assert_bars_or_a_word(outcome)
        assert seconds < allowed(len(mutated.content)), f"{seconds:.1f} s"
    except AssertionError as wrong:
        raise AssertionError(f"{about} {wrong}") from wrong
    return Counter(["files", "read" if outcome.refusal is None else "refused"])


def allowed(size: int) -> float:
    """Seconds that a file of a size may take."""
    return SECONDS + SECONDS_PER_10_MB * size / 10_000_000


def assert_bars_or_a_word(outcome: Outcome) -> None:
    """A refusal says something; bars are such as a market can print, each time once."""
    if outcome.refusal is not None:
        assert outcome.refusal.strip(), "an empty message"
        assert "Traceback" not in outcome.refusal, outcome.refusal
        return
    bars = outcome.known
    times = bars["timestamp"]
    assert bars.schema["timestamp"] == pl.Datetime("us", "UTC"), bars.schema
    assert times.is_sorted(), "bars are not sorted"
    assert times.n_unique() == bars.height, "a time comes twice"
    assert times.null_count() == 0, "a bar without a time"
    for row in bars.select(PRICES).iter_rows():
        assert all(math.isfinite(price) and price > 0 for price in row), row
        open_, high, low, close = row
        assert low <= min(open_, close) <= max(open_, close) <= high, row
    assert not (bars["volume"] < 0).any(), "a negative volume"
    assert outcome.quarantine is not None
    assert outcome.quarantine.height == sum(outcome.reasons.values())
