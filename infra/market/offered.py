"""What a broker said it offers, as kept in the home: `instruments.oanda.json`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.files import replaced
from infra.market.instrument import NAME, Instrument, InstrumentsError, estimated

FILE: Final = "instruments.oanda.json"
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Rate = Annotated[float, Field(allow_inf_nan=False)]
_Days = Annotated[int, Field(ge=0, le=31)]


class Offer(BaseModel):
    """One instrument, as a broker describes it; None where it said nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", max_length=32)]
    kind: str
    pip: _Positive
    precision: Annotated[int, Field(ge=0, le=12)]
    minimum_size: _Positive
    margin: Annotated[float, Field(gt=0, le=1)]
    long_rate: _Rate | None = None
    short_rate: _Rate | None = None
    financing_days: Annotated[tuple[_Days, ...], Field(min_length=7, max_length=7)] | None = None


class Offers(BaseModel):
    """All of a broker's, with their source and date; `left_out` are those it told no sense of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    date: str
    instruments: tuple[Offer, ...]
    left_out: tuple[str, ...] = ()


def keep(home: Path, offers: Offers) -> Path:
    """Write what a broker offers into the home; return the file.

    Parameters
    ----------
    home : Path
    offers : Offers
    """
    path = home / FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replaced(path) as draft:
        draft.write_text(json.dumps(offers.model_dump(exclude_none=True), indent=1))
    return path


def offered(home: Path, table: dict[str, Instrument]) -> dict[str, Instrument]:
    """Return what the broker offers by name, the rest of each from the table.

    Parameters
    ----------
    home : Path
    table : dict of str to Instrument

    Raises
    ------
    InstrumentsError
        If the file is damaged.
    """
    path = home / FILE
    try:
        offers = Offers.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise InstrumentsError(
            f"{path} is damaged: `sep instruments refresh` writes it anew, or delete it"
        ) from error
    return {
        offer.name: _merged(offer, offers, table.get(offer.name) or estimated(offer.name))
        for offer in offers.instruments
    }


def _merged(offer: Offer, offers: Offers, known: Instrument) -> Instrument:
    said = offer.model_dump(exclude_none=True, exclude={"name", "kind"})
    source = f"{offers.source} ({', '.join(said)}), else {known.source}"
    return replace(
        known if known.date else estimated(offer.name, offer.kind),
        **said,
        source=source,
        date=offers.date,
        estimate=tuple(figure for figure in known.estimate if figure not in said),
    )
