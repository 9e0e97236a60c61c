"""Settings: one class, read from `SEP_*` environment variables."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


EngineChoice: TypeAlias = Literal["auto", "cpu", "gpu"]


class Settings(BaseSettings):
    """Where things are and how much of them to keep; every field has its `SEP_` variable."""

    model_config = SettingsConfigDict(env_prefix="SEP_", env_ignore_empty=True, frozen=True)

    home: Path = Field(
        default=PROJECT / ".sep",
        description="Folder of all state: databases, bars, runs, logs.",
    )
    site: str | None = Field(
        default=None,
        description="Which machine this is: `single` (everything), `research` (the GPU's), "
        "`droplet`, or `helper` (another one for trainings); unset: what the file `site` in "
        "`SEP_HOME` says, else `single`.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL to use, `postgresql://user:password@host/name`; "
        "unset: the embedded one that `sep up` starts.",
    )
    database_role: Literal["owner", "research", "executor"] = Field(
        default="owner",
        description="Who connects: `owner` is the user of the address; `sep up` starts workers as "
        "`research` and `executor`.",
    )
    valkey_url: SecretStr | None = Field(
        default=None,
        description="Valkey or Redis to use, `redis://:password@host:6379/0`; "
        "unset: the embedded one that `sep up` starts.",
    )
    prefect_api_url: str | None = Field(
        default=None,
        description="Prefect API to use, `http://host:4200/api`; "
        "unset: the server that `sep up` starts.",
    )
    prefect_port: int = Field(
        default=4200,
        ge=0,
        le=65535,
        description="Port the embedded Prefect server prefers; a free one if it is taken.",
    )
    prefect_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL that the Prefect server keeps its runs in, with the extension "
        "pg_trgm, `postgresql://user:password@host/name`; unset: its own SQLite file.",
    )
    engine: EngineChoice = Field(
        default="auto",
        description="Engine of the kernels: `auto`, `cpu` or `gpu`.",
    )
    pin: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether the GPU's worker stays on the GPU's NUMA node: `auto` or `off`.",
    )
    paths: Literal["exact", "database"] = Field(
        default="exact",
        description="Where live signals look for the nearest paths without a GPU: `exact` (the "
        "model's file, by the kernels) or `database` (pgvector; nearly all beyond 50,000 paths).",
    )
    shared_bars: int = Field(
        default=20_000,
        ge=0,
        description="Recent bars of each pair and timeframe kept in PostgreSQL; "
        "all of them are in the bulk store.",
    )
    hot_bars: int = Field(
        default=10_000,
        ge=0,
        description="Newest bars of each pair and timeframe kept in Valkey once they were read; "
        "what nobody read for a day leaves it.",
    )
    offered_mb: int = Field(
        default=1024,
        ge=0,
        description="MiB of bars that may wait in PostgreSQL for machines that lack them, while "
        "`train_all` runs.",
    )
    training_places: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many pairs of a `train_all` this machine trains at once.",
    )
    run_days: int = Field(
        default=30,
        ge=1,
        description="Days after which `maintain` deletes the folder of a run, and bars that were "
        "removed; the folder of a pair's newest model and of a champion stays.",
    )
    backup_folder: Path = Field(
        default=Path("backups"),
        description="Folder of backups, under `SEP_HOME` unless absolute; better on another disk.",
    )
    backups_kept: int = Field(
        default=7,
        ge=1,
        description="How many of the newest backups stay.",
    )
    database_patience: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="Seconds a step waits for a database that went away before its run fails.",
    )
    oanda_token: SecretStr | None = Field(
        default=None,
        description="Access token of OANDA, for `source=oanda`; it is shown nowhere.",
    )
    oanda_url: str = Field(
        default="practice",
        description="OANDA's venue: `practice`, `live`, or an address "
        "(`https`, or `http` on loopback).",
    )

    broker: Literal["paper", "oanda"] = Field(
        default="paper",
        description="Who fills orders: `paper` (recorded prices, no money) or `oanda`.",
    )
    oanda_trading_token: SecretStr | None = Field(
        default=None,
        description="Access token of OANDA for orders, on the executing machine alone; it is shown "
        "nowhere.",
    )
    oanda_environment: str = Field(
        default="practice",
        description="OANDA's venue for orders: `practice`, `live` (see `sep live arm`), or the "
        "address of a simulator on loopback.",
    )
    oanda_account: str | None = Field(
        default=None,
        description="Account at OANDA for orders; unset: the token's only one.",
    )
    dead_man_minutes: float = Field(
        default=90.0,
        ge=0,
        le=10_000,
        description="Minutes without a finished cycle of `signals` after which nothing is entered "
        "(exits go on); 0: nobody looks.",
    )
    exits_seconds: float = Field(
        default=30.0,
        ge=0.5,
        le=120,
        description="Seconds between two rounds of stop checks and exits that `sep up` keeps going "
        "without Prefect.",
    )
    shadow: bool = Field(
        default=True,
        description="Whether the signals that a venue trades are traded on paper, too, to compare.",
    )
    account_currency: str = Field(
        default="USD",
        pattern=r"^[A-Z]{3}$",
        description="Currency in which profits and balances are told.",
    )

    @field_validator("oanda_url", "oanda_environment")
    @classmethod
    def _safe(cls, url: str) -> str:
        """A token is not sent in clear to another machine."""
        safe = r"practice|live|https://[^/@]+/?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/?"
        if not re.fullmatch(safe, url):
            raise ValueError("it is practice, live, an https address, or an http one on loopback")
        return url

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()


def settings() -> Settings:
    """Return the settings of the present environment.

    Raises
    ------
    pydantic.ValidationError
        If a `SEP_` variable holds a value that its field does not allow.
    """
    return _settings(tuple(map(os.environ.get, _VARIABLES)))


@lru_cache(maxsize=8)
def _settings(environment: tuple[str | None, ...]) -> Settings:
    return Settings()


_VARIABLES: Final = tuple(f"SEP_{name.upper()}" for name in Settings.model_fields)
