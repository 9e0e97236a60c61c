"""Roles as `sep up` makes them: passwords under the home, a word where they cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from infra.postgres import database as db
from infra.postgres.roles import ROLES, ensure_roles, unusable
from infra.records import secret
from tests.infra.databases import anywhere, drop_roles
from tests.infra.postgres.test_roles import BAR, INTENT, LEASE, MODEL

__all__ = ["anywhere"]

embedded = pytest.mark.parametrize("anywhere", ["embedded"], indirect=True)


@pytest.fixture
def migrated(anywhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated database of a home of its own; the cluster is left without the roles."""
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    db.migrate()
    yield anywhere
    monkeypatch.setenv("SEP_DATABASE_URL", anywhere)
    drop_roles()


def as_role(role: str, statement: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a statement as a worker of the role would, and return as whom it ran."""
    monkeypatch.setenv("SEP_DATABASE_ROLE", role)
    with db.session() as opened:
        opened.execute(text(statement))
        return str(opened.scalar(text("SELECT current_user")))


def test_each_role_connects_by_its_name_alone(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unusable() is not None
    for _ in range(2):
        assert ensure_roles() is None
    assert as_role("research", MODEL, monkeypatch) == "research"
    assert as_role("executor", LEASE, monkeypatch) == "executor"
    for role, forbidden in (("research", INTENT), ("executor", BAR), ("executor", MODEL)):
        with pytest.raises(DBAPIError, match="permission denied"):
            as_role(role, forbidden, monkeypatch)
    db.migrate()  # as the owner, whatever the setting says
    assert not any(secret(Path(os.environ["SEP_HOME"]), role) in str(os.environ) for role in ROLES)


def test_role_without_password_says_what_to_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", database)
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    with pytest.raises(db.DatabaseError, match=r"role research has no password .* `sep up`"):
        db.url("research")


@embedded
def test_another_home_does_not_lock_the_first_one_out(
    migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ensure_roles() is None
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "second"))
    reason = ensure_roles()
    assert reason is not None
    assert "the role research does not serve" in reason
    assert secret(tmp_path / "second", "research") not in reason
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    assert unusable() is None
    for role in ROLES:  # what its user may do about it
        (tmp_path / "second" / "secrets" / role).write_text(secret(tmp_path / "home", role))
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "second"))
    assert ensure_roles() is None


def test_user_who_may_not_create_roles_is_told(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
    plain = make_url(migrated).set(username="plain", password="p")
    monkeypatch.setenv("SEP_DATABASE_URL", plain.render_as_string(hide_password=False))
    reason = ensure_roles()
    assert reason is not None
    assert reason.startswith("plain may not create the roles research and executor: ")
    db.engine("owner").dispose()
