"""Every built-in function is that of its slow reference, is documented, and its example runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tasks.audit.frames import frame
from tasks.strategy.language.builtins import BUILTINS, GROUPS
from tasks.strategy.language.program import Program
from tasks.strategy.language.registry import Builtin, Slot
from tests.tasks.strategy.language.reference import REFERENCE, Bars

N = 420
COLUMNS = ("volume", "entropy", "coherence")
CONSTANTS: dict[str, list[Any]] = {
    "n": [1, 2, 7, 16, 33], "lag": [1, 3], "p": [0.0, 0.3, 1.0], "fast": [3], "slow": [9],
    "k": [2.0, 0.5], "rate": [0.01],
}  # fmt: skip
STOP = "0.01 * abs(volume())"


def program(expression: str, others: str = "", size: str = "") -> Program:
    return Program.of(f"""
        stream h1 from "EUR_USD" {{ timeframe: "H1" }}
        {others}
        pattern p {{ v = {expression}; }}
        signal s {{ trigger: close() > 0; action: BUY; stop: {STOP}; horizon: 5; {size} }}
    """)


def bars_of(table: pl.DataFrame) -> Bars:
    columns = {name: table[name].fill_nan(None).to_list() if table[name].dtype == pl.Float64
               else table[name].to_list() for name in table.columns}  # fmt: skip
    return Bars(columns, columns["timestamp"])


def drawn(slot: Slot, rng: np.random.Generator, place: int) -> tuple[str, Any]:
    """An argument as text, and what the reference is given: a column's name or a constant."""
    if slot.kind == "string":
        word = str(rng.choice(slot.choices[:3])) if slot.choices else "s"
        word = "direction" if slot.name == "encoder" and place == rng.integers(2) else word
        return f'"{word}"', word
    if slot.constant:
        known = [each for each in CONSTANTS[slot.name] if slot.low <= each <= slot.high]
        value = known[rng.integers(len(known))]
        return str(value), value
    name = COLUMNS[(place + rng.integers(2)) % 3]
    if slot.kind == "bool":
        return f"{name}() > 0", [name]
    return f"{name}()", (name,)


def call(function: Builtin, seed: int) -> tuple[str, list[Any]]:
    rng = np.random.default_rng(seed)
    slots = function.slots + function.slots[-1:] * (function.many and seed % 2)
    parts = [drawn(slot, rng, place) for place, slot in enumerate(slots)]
    return f"{function.name}({', '.join(text for text, _ in parts)})", [value for _, value in parts]


def given(bars: Bars, value: Any) -> Any:
    if isinstance(value, list):
        return [None if one is None else one > 0 for one in bars[value[0]]]
    return bars[value[0]] if isinstance(value, tuple) else value


def assert_same(found: pl.Series, expected: list[Any], what: str) -> None:
    assert len(found) == len(expected)
    wrong = [
        (row, a, b)
        for row, (a, b) in enumerate(zip(found.to_list(), expected, strict=True))
        if (a is None) != (b is None) or (a is not None and a != pytest.approx(b, 1e-7, 1e-9))
    ]
    assert wrong == [], f"{what}: {wrong[:3]}"


SPECIAL = ("volatility_target", "rank_across_pairs")


@pytest.mark.parametrize("name", [name for name in BUILTINS if name not in SPECIAL])
@pytest.mark.parametrize("holes", [0.0, 0.01])
def test_it_is_that_of_the_slow_reference(name: str, holes: float) -> None:
    table = frame(N, seed=len(name), holes=holes)
    bars = bars_of(table)
    said = 0
    for seed in range(4):
        text, arguments = call(BUILTINS[name], seed)
        expected = REFERENCE[name](bars, *(given(bars, value) for value in arguments))
        found = program(text).values({"h1": table})["h1"]["p.v"]
        assert_same(found, expected, text)
        said += found.count()
    assert said > 0, "nothing was compared"


def test_a_volatility_target_asks_for_the_stop() -> None:
    table = frame(N, seed=3)
    made = program("1", size="weekend: true; size: volatility_target(0.1);")
    bars = bars_of(table)
    stop = [0.01 * abs(one) for one in bars["volume"]]
    expected = REFERENCE["volatility_target"](bars, 0.1, stop)
    found = made.evaluate({"h1": table})
    there = [one for one, s in zip(expected, stop, strict=True) if one is not None and s > 0]
    assert_same(found["size"], there, "volatility_target")


def test_a_rank_across_pairs_is_that_of_the_slow_reference() -> None:
    pairs = {"h1": "EUR_USD", "g": "GBP_USD", "j": "USD_JPY"}
    tables = {name: frame(N, seed=i, holes=0.01) for i, name in enumerate(pairs)}
    others = "\n".join(
        f'stream {name} from "{pair}" {{ timeframe: "H1" }}'
        for name, pair in pairs.items()
        if name != "h1"
    )
    found = program("rank_across_pairs(entropy())", others).values(tables)["h1"]["p.v"]
    columns = [bars_of(table)["entropy"] for table in tables.values()]
    expected = REFERENCE["rank_across_pairs"](bars_of(tables["h1"]), *columns)
    assert_same(found, expected, "rank_across_pairs")


def test_every_function_has_a_reference() -> None:
    assert set(REFERENCE) == set(BUILTINS)


@pytest.mark.parametrize("name", BUILTINS)
def test_it_is_documented_and_its_example_runs(name: str) -> None:
    function = BUILTINS[name]
    for words in (function.says, function.units, function.warmup, function.nulls):
        assert words
    assert function.says.endswith(".")
    assert f"{name}(" in function.example
    other = 'stream g from "GBP_USD" { timeframe: "H1" }'
    table = frame(900, seed=1)
    if function.special == "stop":
        program("1", size=f"size: {function.example};").evaluate({"h1": table})
    elif function.special.startswith("rule"):
        made = program("1", size=f"target: 0 * {function.example} + 1;")
        assert made.evaluate({"h1": table}).height
    else:
        values = program(function.example, other).values({"h1": table, "g": frame(900, seed=2)})
        assert values["h1"]["p.v"].count() > 0


def test_each_stands_in_one_group() -> None:
    names = [each.name for functions in GROUPS.values() for each in functions]
    assert sorted(names) == sorted(set(names))
    assert all(each.group == group for group, found in GROUPS.items() for each in found)


@pytest.mark.parametrize("name", [name for name in BUILTINS if name not in SPECIAL])
def test_its_warm_up_is_enough(name: str) -> None:
    """What it says of the last bar is the same from as many earlier bars as it asks for."""
    table = frame(N, seed=5)
    for seed in range(3):
        made = program(call(BUILTINS[name], seed)[0])
        node = made.compiled().members["p.v"]
        need = min(node.earlier.get("h1", 0), N - 1)
        whole, part = (
            made.values({"h1": each})["h1"]["p.v"].tail(1) for each in (table, table.tail(need + 1))
        )
        assert whole.equals(part, null_equal=True), (name, need)
