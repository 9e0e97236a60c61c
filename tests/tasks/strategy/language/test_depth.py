"""Programs as deep as they may be are computed soon, and need little of Python's stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from tasks.audit.frames import frame
from tasks.strategy.language.formatting import formatted
from tasks.strategy.language.program import Program

HEAD = 'stream m5 from "EUR_USD" { timeframe: "M5" }\n'
TAIL = "\nsignal s { trigger: p.v > 0; action: BUY; stop: 1; horizon: 5; }\n"
STACK = 900
"""Frames of Python in all, those of pytest included."""

DEEP = {
    "own functions": "function f(x) = x + 1;\npattern p { v = "
    + "f(" * 97 + "1" + ")" * 97 + "; }",
    "functions": "pattern p { v = " + "abs(" * 97 + "close()" + ")" * 97 + "; }",
    "greatest": "pattern p { v = " + "max(open(), " * 97 + "close()" + ")" * 97 + "; }",
    "choices": "pattern p { v = " + "if (open() > 1) { 1 } else { " * 48 + "2" + "}" * 48 + "; }",
    "sums": "pattern p { v = " + " + ".join(["close()"] * 98) + "; }",
    "conditions": "pattern p { v = if (" + " && ".join(["open() > 1"] * 95) + ") {1} else {2}; }",
    "names": "pattern p {" + "".join(f"v{k} = v{k + 1} + 1;" for k in range(44))
    + "v44 = close(); v = v0; }",
    "chains": "function f0(x) = x;\n"
    + "".join(f"function f{k}(x) = f{k - 1}(x) + 1;\n" for k in range(1, 45))
    + "pattern p { v = f44(close()); }",
    "nulls": "pattern p { v = " + "abs(" * 97 + "1 / 0" + ")" * 97 + "; }",
}  # fmt: skip


@pytest.fixture
def little_stack() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(STACK)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("little_stack")
@pytest.mark.parametrize("name", DEEP)
def test_a_deep_program_is_computed_soon(name: str) -> None:
    text = HEAD + DEEP[name] + TAIL
    begin = time.perf_counter()
    program = Program.of(text)
    assert formatted(formatted(text)) == formatted(text)
    signals = program.evaluate({"m5": frame(50, "M5")})
    assert time.perf_counter() - begin < 20
    assert (signals.height > 0) == (name != "nulls")
