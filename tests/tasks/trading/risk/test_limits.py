"""Limits: what a file may say, what the message says if it may not, presets, hours."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import PROJECT
from tasks.trading.risk.engine import judge
from tasks.trading.risk.hours import both, minutes
from tasks.trading.risk.limits import FILE, PER_PAIR, Limits, LimitsError, allowed
from tasks.trading.risk.presets import MEANINGS, PRESETS
from tasks.trading.risk.rules import CHECKS
from tasks.trading.sizing import Kelly
from tests.tasks.trading.risk.cases import D, account, proposal, situation, trade


def written(folder: Path, text: str) -> Limits:
    (folder / FILE).write_text(text)
    return Limits.load(folder)


def test_without_a_file_the_defaults_count(tmp_path: Path) -> None:
    assert Limits.load(tmp_path) == Limits()


def test_what_a_file_says_counts_exactly(tmp_path: Path) -> None:
    said = """
max_risk = 0.003
max_own_trades = "off"
daily_reset = 17:30:00
daily_zone = "Europe/Prague"
since = 2026-01-05T00:00:00Z
hours = ["08:00-17:00"]
[sizing]
kind = "kelly"
fraction = 0.5
"""
    limits = written(tmp_path, said)
    assert limits.max_risk == Decimal("0.003")
    assert limits.max_own_trades is None
    assert limits.daily_reset == time(17, 30)
    assert limits.sizing == Kelly(fraction=D("0.5"))
    assert limits.max_trades == Limits().max_trades
    assert Limits.of(tomllib.loads(limits.toml()), "it") == limits


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "max_risk = 0.21",
            "max_risk: Input should be less than or equal to 0.2 (allowed: above 0,",
        ),
        ("max_risk = 0", "max_risk: Input should be greater than 0"),
        ("max_risk = nan", "max_risk: Input should be a finite number"),
        ("max_risk = inf", "max_risk: Input should be a finite number"),
        (
            'max_risk = "off"',
            "max_risk: Input should be a valid decimal (allowed: above 0, at most",
        ),
        ('max_spread_ratio = "off"', "max_spread_ratio: "),
        ('max_price_age = "off"', "max_price_age: "),
        ('min_free_margin = "off"', "min_free_margin: "),
        ("max_own_trades = 0", "max_own_trades: Input should be greater than or equal to 1"),
        ("max_own_trades = 1.5", "max_own_trades: "),
        ("maxrisk = 0.1", "maxrisk is no limit; `sep risk show` lists those there are"),
        ('daily_zone = "Berlin"', "'Berlin' is no time zone, such as Europe/Berlin"),
        ('hours = ["8-17"]', "'8-17' is no span of hours, such as 08:00-17:00"),
        ('hours = ["24:00-25:00"]', "no span of hours"),
        ("since = 2026-01-05T00:00:00", "with its zone"),
        ('daily_reset = "17:00Z"', "without a zone"),
        ('share_of = "mine"', '(allowed: "own", "start")'),
        ('[sizing]\nkind = "all"', "sizing: "),
        ('[sizing]\nkind = "kelly"\ncap = 2', "sizing.kelly.cap: Input should be less than"),
        ("max_risk = ", "cannot be read"),
    ],
)
def test_a_fault_names_file_field_and_what_is_allowed(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(LimitsError) as raised:
        written(tmp_path, line)
    assert str(raised.value).startswith(str(tmp_path / FILE))
    assert told in str(raised.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(LimitsError, match="cannot be read"):
        Limits.load(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(LimitsError, match="cannot be read"):
        Limits.load(tmp_path)


@pytest.mark.parametrize("name", Limits.model_fields)
def test_every_limit_has_a_meaning_and_bounds(name: str) -> None:
    field = Limits.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert allowed(name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_file_that_says_the_same(name: str, tmp_path: Path) -> None:
    assert written(tmp_path, PRESETS[name].toml()) == PRESETS[name]
    assert MEANINGS[name].endswith(".")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_lets_a_careful_entry_through(name: str) -> None:
    assert judge(proposal(), situation(), PRESETS[name]).allowed


def rules_that_deny(preset: str, **known: Any) -> set[str]:
    return {name for name, _ in judge(proposal(), situation(**known), PRESETS[preset]).reasons}


def test_prop_5_10_is_5_per_cent_a_day_and_10_in_all_of_the_start() -> None:
    grown = {"day_start_equity": D(120_000), "peak_equity": D(120_000)}
    for equity, denied in (("116000.01", set()), (115_000, {"state", "daily loss"})):
        found = rules_that_deny("prop-5-10", account=account(equity=D(equity)), **grown)
        assert found == denied
    fallen = {"day_start_equity": D(91_000), "account": account(equity=D(90_000))}
    assert {"state", "static drawdown"} <= rules_that_deny("prop-5-10", **fallen)
    assert PRESETS["prop-5-10"].daily_reset == time(17)
    assert PRESETS["prop-5-10"].daily_zone == "America/New_York"
    assert PRESETS["prop-5-10-midnight"].daily_zone == "Europe/Prague"


def test_a_trailing_preset_stops_rising_at_the_start() -> None:
    high = {"peak_equity": D(150_000), "day_start_equity": D(101_000)}
    held = account(equity=D(101_000))
    assert "trailing drawdown" not in rules_that_deny("prop-4-6-trailing", account=held, **high)
    held = account(equity=D(100_000))
    assert "trailing drawdown" in rules_that_deny("prop-4-6-trailing", account=held, **high)


def test_none_but_margin_still_denies_a_full_account_and_a_stale_price() -> None:
    trades = [trade(n) for n in range(40)]
    assert rules_that_deny("none-but-margin", account=account(*trades)) == set()
    full = account(margin_used=D(95_000), margin_available=D(5_000))
    assert rules_that_deny("none-but-margin", account=full) == {"margin"}
    assert rules_that_deny("none-but-margin", prices={})


@pytest.mark.parametrize("name", PER_PAIR)
def test_a_pair_can_only_tighten(name: str) -> None:
    limits = PRESETS["conservative"].model_copy(
        update={"max_units": D(1000), "max_notional": D(1000), "max_spread_pips": D(2)}
    )
    present = getattr(limits, name)
    stricter, looser = present / 2, present * 2
    if name == "weekend_hours":
        stricter, looser = looser, stricter
    assert getattr(limits.tightened({name: stricter}, "it"), name) == stricter
    assert getattr(limits.tightened({name: looser}, "it"), name) == present
    assert limits.tightened({}, "it") is limits


def test_a_pair_s_hours_are_those_of_both() -> None:
    day = Limits(hours=("08:00-17:00",))
    assert day.tightened({"hours": ["12:00-20:00"]}, "it").hours == ("12:00-17:00",)
    assert Limits().tightened({"hours": ["12:00-20:00"]}, "it").hours == ("12:00-20:00",)
    with pytest.raises(LimitsError, match="hours_zone must be UTC"):
        day.tightened({"hours": ["12:00-20:00"], "hours_zone": "Europe/Berlin"}, "it")
    with pytest.raises(ValueError, match="no minute in common"):
        day.tightened({"hours": ["20:00-21:00"]}, "it")


def test_hours() -> None:
    assert minutes(["00:00-24:00"]) == frozenset(range(1440))
    assert minutes(["22:00-02:00"]) == frozenset([*range(1320, 1440), *range(120)])
    assert minutes([]) == frozenset()


SPANS = st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda s: s[0] != s[1])


@settings(deadline=None)
@given(SPANS, SPANS)
def test_hours_of_both_are_the_minutes_of_both(one: tuple[int, int], two: tuple[int, int]) -> None:
    first, second = ([f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}"] for a, b in (one, two))
    common = minutes(first) & minutes(second)
    if common:
        assert minutes(both(first, second)) == common


def test_since_is_kept() -> None:
    since = datetime.fromisoformat("2026-01-05T00:00:00+00:00")
    limits = Limits(since=since)
    assert Limits.of(tomllib.loads(limits.toml()), "it").since == since


def test_the_guide_names_every_rule_and_every_limit() -> None:
    guide = (PROJECT / "docs" / "risk.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| .* \| .*\|$", guide, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {name for name, _ in CHECKS} | {
        "units",
        "fraction",
        "volatility",
        "kelly",
        "signal",
    }
    said = set(re.findall(r"`(\w+)`", guide))
    assert set(Limits.model_fields) <= said
    example = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert example
    assert Limits.of(tomllib.loads(example[1]), "risk.md").hours == ("08:00-17:00",)
