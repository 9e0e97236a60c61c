"""`sep risk`: limits and usage, presets, and why a signal is denied."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deployments.sep import risk_tables
from deployments.sep.cli import app
from deployments.sep.risk_explain import NoSignal
from infra.clock import VirtualClock
from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.models import Pair
from infra.postgres.trading import Equity
from tasks.trading import execution
from tasks.trading.lease import acquire
from tasks.trading.risk.limits import FILE, Limits, LimitsError
from tasks.trading.risk.presets import PRESETS
from tests.tasks.trading.desk import BookBroker, executor, intents, model, publish

Sep = Callable[..., str]
NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def broker(clock: VirtualClock) -> BookBroker:
    return BookBroker.new(clock)


@pytest.fixture
def sep(home: Path, broker: BookBroker, monkeypatch: pytest.MonkeyPatch) -> Sep:
    """The command at a broker on a book; what a user can mend is raised."""
    for path in home.glob("risk*.toml"):
        path.unlink()
    monkeypatch.setattr(risk_tables, "broker_of", lambda *_: broker)
    monkeypatch.setattr(risk_tables, "WallClock", lambda: broker.clock)

    def run(*arguments: object, code: int = 0) -> str:
        done = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["risk", *map(str, arguments)])
        if isinstance(done.exception, SepError):
            raise done.exception
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return run


@pytest.fixture
def known(database: str) -> None:
    """An account that had 100,000 yesterday, and the model of signals."""
    with session() as opened:
        at = NOW - timedelta(days=1)
        opened.add(Equity(account="paper", timestamp=at, balance=100_000, equity=100_000))
        opened.add(model())


def signal(**changes: Any) -> int:
    """Publish one on the bar that has just closed."""
    publish(49, **{"margin": 0.1, **changes})
    return 1


def test_help_says_what_each_does() -> None:
    group = get_command(app).commands["risk"]  # type: ignore[attr-defined]
    assert set(group.commands) == {"show", "presets", "use", "explain"}
    for command in group.commands.values():
        assert command.help.endswith(".")
        assert len(command.help) < 100


@pytest.mark.usefixtures("known")
def test_show_tells_state_usage_and_where_each_limit_comes_from(sep: Sep, home: Path) -> None:
    (home / FILE).write_text('max_risk = 0.004\nmax_own_trades = "off"\n')
    with session() as opened:
        opened.add(Pair(pair="EUR_USD", timeframe="H1", limits={"max_units": 5000}))
    screen = sep("show")
    assert screen.startswith("ACTIVE paper")
    assert re.search(r"^equity +100,000.00 USD", screen, re.MULTILINE)
    assert re.search(r"^daily loss +0% of 3,000.00 USD +3.00% a day from", screen, re.MULTILINE)
    assert re.search(r"^own trades +0 +off", screen, re.MULTILINE)
    assert re.search(r"^max_risk +0.004 +risk.toml +Share that a trade loses", screen, re.MULTILINE)
    assert re.search(r"^max_open_risk +0.05 +default ", screen, re.MULTILINE)
    assert "EUR_USD H1 (table pairs): max_units 5000" in screen
    assert all(name in screen for name in Limits.model_fields)


@pytest.mark.usefixtures("known")
def test_show_ends_with_1_where_nothing_may_be_entered(sep: Sep, broker: BookBroker) -> None:
    broker.book.balance -= Decimal(4_000)
    screen = sep("show", code=1)
    assert screen.startswith("HALTED paper")
    assert "the floor is 97,000.00 USD, equity is 96,000.00 USD" in screen
    broker.deaf = True
    assert sep("show", code=1).startswith("unknown nobody answers")


def test_show_before_anything_is_on_record(sep: Sep, database: str) -> None:
    screen = sep("show", code=1)
    assert screen.startswith("HALTED paper")
    assert "unknown: equity at the day's start is missing" in screen


def test_presets_are_all_told(sep: Sep) -> None:
    screen = sep("presets")
    for name in PRESETS:
        assert re.search(rf"^{name}: ", screen, re.MULTILINE)
    assert re.search(r"^prop-5-10 .*0.05 +off +0.1 ", screen, re.MULTILINE)


def test_use_writes_a_preset_and_keeps_the_file_of_before(sep: Sep, home: Path) -> None:
    (home / FILE).write_text("max_risk = 0.004  # mine\n")
    screen = sep("use", "prop-5-10")
    assert Limits.load(home) == PRESETS["prop-5-10"]
    (kept,) = home.glob("risk-*.toml")
    assert kept.read_text() == "max_risk = 0.004  # mine\n"
    assert str(kept) in screen
    text = (home / FILE).read_text()
    assert text.startswith("# prop-5-10: 5 % of the start a day")
    assert "# Loss of a day, open trades included" in text


def test_use_of_what_is_none_lists_them(sep: Sep, home: Path) -> None:
    with pytest.raises(LimitsError, match="there are conservative, default, prop-5-10"):
        sep("use", "reckless")
    assert not (home / FILE).exists()


def test_a_file_that_makes_no_sense_is_told(sep: Sep, home: Path) -> None:
    (home / FILE).write_text("max_risk = 3")
    with pytest.raises(LimitsError, match=r"risk.toml: max_risk: .*allowed: above 0, at most 0.2"):
        sep("show")


@pytest.mark.usefixtures("known")
def test_explain_judges_a_signal_now(sep: Sep) -> None:
    screen = sep("explain", signal())
    assert "signal 1 BUY damped EUR_USD H1, bar 2026-01-07 11:00:00 UTC" in screen
    assert "judged now, on paper" in screen
    assert "size: the stop costs 0.50% of equity" in screen
    assert re.search(
        r"^allows +risk of the trade +at its stop it loses \d+\.\d\d USD", screen, re.M
    )
    assert screen.count("allows") == 25
    assert screen.rstrip().endswith("allowed")


@pytest.mark.usefixtures("known")
def test_explain_says_which_rules_deny(sep: Sep, broker: BookBroker) -> None:
    broker.spread = Decimal("0.01")
    screen = sep("explain", signal(), code=1)
    assert re.search(r"^denies +spread +the spread is 100.00 pips", screen, re.MULTILINE)
    assert re.search(r"^allows +margin ", screen, re.MULTILINE)
    assert "denied spread: the spread is" in screen


@pytest.mark.usefixtures("known")
def test_explain_tells_why_a_size_is_nought(sep: Sep, home: Path) -> None:
    (home / FILE).write_text('[sizing]\nkind = "kelly"\n')
    screen = sep("explain", signal(margin=-0.1), code=1)
    assert "the expected net gain after caution is -0.1000, not above zero" in screen


@pytest.mark.usefixtures("known")
def test_explain_tells_what_was_recorded(sep: Sep, clock: VirtualClock, broker: BookBroker) -> None:
    signal()
    trading = replace(executor(clock, broker), account="paper")
    broker.spread = Decimal("0.01")
    lease = acquire("execute:paper", "test", clock)
    execution.cycle(trading, lease)
    assert [each.state for each in intents()] == ["DENIED"]
    broker.spread = Decimal("0.0001")
    screen = sep("explain", 1, code=1)
    assert "as recorded at" in screen
    assert "the order is DENIED" in screen
    assert re.search(r"^denies +spread +the spread is 100.00 pips", screen, re.MULTILINE)
    assert told_rules(screen) == told_rules(sep("explain", 1, "--now"))


def told_rules(screen: str) -> list[str]:
    return re.findall(r"^(?:allows|denies) +(\w+(?: [a-z]+)*) ", screen, re.MULTILINE)


@pytest.mark.usefixtures("known")
def test_explain_of_no_signal(sep: Sep) -> None:
    with pytest.raises(NoSignal, match="no signal 7"):
        sep("explain", 7)
