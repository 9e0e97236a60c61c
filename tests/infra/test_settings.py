"""Settings: what they read, what they hide."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import PROJECT, Settings, settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEP_{name.upper()}", raising=False)


def test_state_lies_in_the_project_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().home == PROJECT / ".sep"
    monkeypatch.setenv("SEP_HOME", "~/sep")
    assert settings().home == Path.home() / "sep"


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", ["SEP_DATABASE_URL", "SEP_VALKEY_URL", "SEP_OANDA_TOKEN"])
def test_passwords_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "postgresql://me:hunter2@host/db")
    assert "hunter2" not in f"{settings()!r} {settings()} {settings().model_dump()}"


def test_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_ENGINE", "tpu")
    with pytest.raises(ValidationError, match="engine"):
        settings()


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", "")
    assert settings().database_url is None
