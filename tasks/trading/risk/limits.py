"""Limits of risk: what they may be, where they are kept, and which of them a pair tightens."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from infra.errors import SepError
from infra.market.days import DAY_BEGINS, NEW_YORK
from tasks.trading.risk.hours import both, minutes
from tasks.trading.sizing import Fraction, Sizing

FILE: Final = "risk.toml"
_BOUNDS: Final = {"exclusiveMinimum": "above", "minimum": "at least", "maximum": "at most"}
OFF: Final = "off"
"""How a file switches a limit off; a limit that may not be refuses it."""


class LimitsError(SepError, ValueError):
    """Limits of risk are not what they may be; the message names file, field, what is allowed."""


def _unless_off(value: Any) -> Any:
    return None if value == OFF else value


_Off = BeforeValidator(_unless_off)
Share: TypeAlias = Annotated[Decimal, Field(gt=0, le=1)]
ShareOrOff: TypeAlias = Annotated[Share | None, _Off]
Amount: TypeAlias = Annotated[Annotated[Decimal, Field(gt=0, le=Decimal("1e12"))] | None, _Off]
Multiple: TypeAlias = Annotated[Annotated[Decimal, Field(gt=0, le=100)] | None, _Off]
Count: TypeAlias = Annotated[Annotated[int, Field(ge=1, le=10_000)] | None, _Off]


class Limits(BaseModel):
    """What is allowed; None is no limit. Shares are of equity unless they say otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sizing: Sizing = Field(default=Fraction(), description="How many units an entry has.")

    max_units: Amount = Field(
        default=None, description="Units of a pair, all open trades of it together."
    )
    max_notional: Amount = Field(
        default=None, description="Worth of all trades of a pair, in the account's currency."
    )
    max_leverage: Multiple = Field(
        default=Decimal(5), description="Worth of all trades of a pair, in equities."
    )
    max_currency: Amount = Field(
        default=None, description="Net worth held or owed in a currency, in the account's."
    )
    max_currency_leverage: Multiple = Field(
        default=Decimal(5), description="Net worth held or owed in a currency, in equities."
    )
    max_total_leverage: Multiple = Field(
        default=Decimal(10), description="Worth of all open trades, in equities."
    )
    max_own_trades: Count = Field(default=5, description="Open trades of ours.")
    max_trades: Count = Field(default=20, description="Open trades of the account, of anybody.")

    max_risk: Annotated[Decimal, Field(gt=0, le=Decimal("0.2"))] = Field(
        default=Decimal("0.01"), description="Share that a trade loses if its stop fills."
    )
    max_open_risk: ShareOrOff = Field(
        default=Decimal("0.05"),
        description="Share that all open trades lose if their stops fill; one without a stop "
        "counts with all it is worth.",
    )
    max_correlated_risk: ShareOrOff = Field(
        default=Decimal("0.02"),
        description="Share that a trade and those which move with it lose at their stops, each "
        "times its correlation; an unknown correlation is 1.",
    )
    min_free_margin: Share = Field(
        default=Decimal("0.5"), description="Share that is left as free margin after the trade."
    )

    daily_loss: ShareOrOff = Field(
        default=Decimal("0.03"),
        description="Loss of a day, open trades included, at which entries end until the reset.",
    )
    daily_reset: time = Field(
        default=time(DAY_BEGINS), description="Time of the clock at which a day of losses begins."
    )
    daily_zone: str = Field(default=NEW_YORK, description="Zone of that clock.")
    trailing_drawdown: ShareOrOff = Field(
        default=Decimal("0.1"), description="Loss from the highest equity that ends all entries."
    )
    trailing_locks: bool = Field(
        default=False,
        description="Whether the trailing floor rises no further once it has reached the equity "
        "at the start.",
    )
    static_drawdown: ShareOrOff = Field(
        default=None, description="Loss from the equity at the start that ends all entries."
    )
    share_of: Literal["own", "start"] = Field(
        default="own",
        description="What daily and trailing losses are a share of: `own` (the day's first "
        "equity, the highest equity) or `start` (the equity at the start).",
    )
    start_equity: Amount = Field(
        default=None,
        description="Equity at the start, such as the size of a prop account; off: the first on "
        "record.",
    )
    since: datetime | None = Field(
        default=None,
        description="Equity before this is not looked at: after a deposit or a withdrawal, or to "
        "go on after a drawdown.",
    )
    near: Share = Field(
        default=Decimal("0.9"),
        description="Used share of a loss limit from which on nothing new is entered.",
    )

    max_entries: Count = Field(default=20, description="Entries of a day.")
    cool_down_after: Annotated[Annotated[int, Field(ge=1, le=100)] | None, _Off] = Field(
        default=4, description="Losses in a row after which entries pause."
    )
    cool_down_hours: Annotated[Decimal, Field(gt=0, le=720)] = Field(
        default=Decimal(4), description="How long they pause."
    )

    max_spread_ratio: Annotated[Decimal, Field(gt=0, le=20)] = Field(
        default=Decimal(3), description="Spread, in usual spreads of the pair."
    )
    max_spread_pips: Amount = Field(default=None, description="Spread, in pips.")
    max_price_age: Annotated[Decimal, Field(gt=0, le=86_400)] = Field(
        default=Decimal(60), description="Seconds since the price was quoted."
    )
    hours: tuple[str, ...] = Field(
        default=(), description="Hours in which entries are made, such as 08:00-17:00; none: all."
    )
    hours_zone: str = Field(default="UTC", description="Zone of these hours.")
    weekend_hours: Annotated[Annotated[Decimal, Field(gt=0, le=120)] | None, _Off] = Field(
        default=Decimal(1),
        description="Hours before the weekend, or a holiday of a day or more, without entries.",
    )

    @field_validator("daily_zone", "hours_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{name[:40]!r} is no time zone, such as Europe/Berlin") from error
        return name

    @field_validator("daily_reset")
    @classmethod
    def _clock(cls, reset: time) -> time:
        if reset.tzinfo is not None:
            raise ValueError("write a time without a zone; daily_zone names it")
        return reset

    @field_validator("since")
    @classmethod
    def _zoned(cls, since: datetime | None) -> datetime | None:
        if since is not None and since.utcoffset() is None:
            raise ValueError("write a time with its zone, such as 2026-01-05T00:00:00Z")
        return since

    @field_validator("hours")
    @classmethod
    def _hours(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        minutes(hours)
        return hours

    @classmethod
    def load(cls, home: Path) -> Limits:
        """Return the limits of a home: those of its file, else the defaults.

        Parameters
        ----------
        home : Path
            `SEP_HOME`; limits that `risk.toml` there does not name are the defaults.

        Raises
        ------
        LimitsError
            If the file is not what it should be.
        """
        return cls.of(stated(home), str(home / FILE))

    @classmethod
    def of(cls, said: Mapping[str, Any], whence: str) -> Limits:
        """Return the limits that are said, checked.

        Parameters
        ----------
        said : mapping
        whence : str
            File or table, for the message.

        Raises
        ------
        LimitsError
            If one of them is unknown or beyond what is allowed.
        """
        try:
            return cls.model_validate(said)
        except ValidationError as error:
            faults = "; ".join(_fault(each) for each in error.errors())
            raise LimitsError(f"{whence}: {faults}") from error

    def tightened(self, said: Mapping[str, Any], whence: str) -> Limits:
        """Return the limits of a pair: each the stricter of these and its own.

        Parameters
        ----------
        said : mapping
            Limits of the pair: some of `PER_PAIR`.
        whence : str
            For the message.

        Raises
        ------
        LimitsError
            If one of them is unknown, beyond what is allowed, or not a pair's to say.
        """
        if not said:
            return self
        if strange := sorted({*said} - {*PER_PAIR, "hours", "hours_zone"}):
            known = ", ".join((*PER_PAIR, "hours"))
            raise LimitsError(f"{whence}: {strange[0]} is no limit of a pair; there are {known}")
        own = Limits.of({**said, "hours_zone": said.get("hours_zone", self.hours_zone)}, whence)
        changed: dict[str, Any] = {
            name: _stricter(PER_PAIR[name], getattr(self, name), getattr(own, name))
            for name in said
            if name in PER_PAIR
        }
        if own.hours:
            changed |= self._in_both(own, whence)
        return self.model_copy(update=changed)

    def _in_both(self, own: Limits, whence: str) -> dict[str, Any]:
        if not self.hours:
            return {"hours": own.hours, "hours_zone": own.hours_zone}
        if own.hours_zone != self.hours_zone:
            raise LimitsError(f"{whence}: hours_zone must be {self.hours_zone}, that of {FILE}")
        return {"hours": both(self.hours, own.hours)}

    def toml(self) -> str:
        """Return the text of a file that says all of these limits, each with its meaning."""
        values = self.model_dump(exclude={"sizing"})
        lines = [
            f"# {field.description}\n{name} = {_written(values[name])}\n"
            for name, field in Limits.model_fields.items()
            if name != "sizing" and not (name == "since" and self.since is None)
        ]
        sizing = self.sizing.model_dump()
        table = [f"{name} = {_written(value)}" for name, value in sizing.items()]
        return "\n".join([*lines, "[sizing]", *table, ""])


PER_PAIR: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "max_units": min,
    "max_notional": min,
    "max_leverage": min,
    "max_risk": min,
    "max_spread_ratio": min,
    "max_spread_pips": min,
    "max_price_age": min,
    "weekend_hours": max,
}
"""Limits that a pair may have of its own, and which of two is the stricter."""


def stated(home: Path) -> dict[str, Any]:
    """Return what the file of a home says, unchecked; nothing where there is none.

    Raises
    ------
    LimitsError
        If it cannot be read.
    """
    path = home / FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise LimitsError(f"{path} cannot be read: {error}") from error


def allowed(name: str) -> str:
    """Say what a limit may be."""
    schema = Limits.model_json_schema()["properties"][name]
    parts = list(dict.fromkeys(_bounds(schema)))
    return ", ".join(parts) or str(Limits.model_fields[name].description)


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for word, said in _BOUNDS.items():
        if word in schema:
            yield f"{said} {schema[word]:g}"
    yield from (f'"{choice}"' for choice in schema.get("enum", ()))
    for part in schema.get("anyOf", ()):
        yield from _bounds(part)
    if schema.get("type") == "null":
        yield f'"{OFF}"'


def _fault(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return f"{name[:40]} is no limit; `sep risk show` lists those there are"
    where = ".".join(str(part) for part in error["loc"])
    may = f" (allowed: {allowed(name)})" if len(error["loc"]) == 1 else ""
    return f"{where}: {error['msg']}{may}"


def _stricter(which: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return which(one, other)


def _written(value: Any) -> str:
    match value:
        case None:
            return f'"{OFF}"'
        case Decimal():
            return f"{value:f}"
        case time() | datetime():
            return f'"{value.isoformat()}"'
    return json.dumps(value)
