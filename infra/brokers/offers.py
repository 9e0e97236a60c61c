"""What OANDA offers: the instruments of an account, asked over its v20 API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from pydantic import SecretStr
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from infra.market.offered import Offer, Offers
from infra.settings import settings
from infra.sources import troubles
from infra.sources.columns import SourceError
from infra.sources.oanda import REQUESTS_A_SECOND, VENUES
from infra.stores.limits import RateLimit

TRIES: Final = 4
TIMEOUT: Final = 30.0
KINDS: Final = {
    "CURRENCY": "forex",
    "METAL": "metals",
    "INDEX": "index",
    "ENERGY": "energy",
    "COMMODITY": "commodity",
    "BOND": "bond",
    "CRYPTO": "crypto",
}
"""Types and asset classes of the venue, by our names."""

WEEKDAYS: Final = (
    "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"
)  # fmt: skip

_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError)


class _NoAnswer(Exception):
    """The venue did not answer, or not sensibly: it may do so the next time."""


def ask(*, pause: float = 0.5) -> Offers:
    """Return what OANDA offers to the account of `SEP_OANDA_TOKEN`.

    Parameters
    ----------
    pause : float
        Seconds before the second try of a request; doubled for each further one.

    Raises
    ------
    SourceError
        If no token is set, the venue refuses it, or it does not answer in `TRIES` tries.
    """
    token, venue = settings().oanda_token, settings().oanda_url
    if token is None:
        raise SourceError(
            "OANDA tells its instruments to those who have an account: set SEP_OANDA_TOKEN (one "
            "of a free practice account will do)"
        )
    url = VENUES.get(venue, venue)
    remote = url.startswith("https://")  # a proxy has no business on loopback
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=remote) as client:
        accounts = _get(client, "/v3/accounts", token, pause, _accounts)
        if not accounts:
            raise SourceError("OANDA knows no account of SEP_OANDA_TOKEN: open one on its website")
        path = f"/v3/accounts/{accounts[0]}/instruments"
        offers = _get(client, path, token, pause, _offers)
    name = venue if venue in VENUES else httpx.URL(url).host
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return Offers(source=f"OANDA {name}", date=today, **offers)


def _get(
    client: httpx.Client, path: str, token: SecretStr, pause: float, read: Callable[[Any], Any]
) -> Any:
    asking = Retrying(
        retry=retry_if_exception_type(_NoAnswer),
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential(pause),
    )
    try:
        return asking(_once, client, path, token, read)
    except RetryError as error:
        raise SourceError(
            f"OANDA gave no good answer in {TRIES} tries ({error.last_attempt.exception()}): try "
            "again later; what is known of its instruments stays as it was"
        ) from None


def _once(client: httpx.Client, path: str, token: SecretStr, read: Callable[[Any], Any]) -> Any:
    RateLimit("oanda", REQUESTS_A_SECOND).wait()
    secret = token.get_secret_value()
    try:
        answer = client.get(path, headers={"Authorization": f"Bearer {secret}"})
        if answer.status_code == httpx.codes.OK:
            return read(answer.json())
    except (httpx.RequestError, *_UNREADABLE) as error:
        raise _NoAnswer(type(error).__name__) from None
    if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _NoAnswer(f"status {answer.status_code}")
    raise SourceError(_refusal(answer, token))


def _refusal(answer: httpx.Response, token: SecretStr) -> str:
    said = troubles.said_of(answer, lambda message: troubles.redacted(message, token))
    return (
        f"OANDA refuses the request ({said}): set SEP_OANDA_TOKEN to a token of the venue that "
        "SEP_OANDA_URL names"
    )


def _accounts(body: Any) -> list[str]:
    return [str(account["id"]) for account in body["accounts"]]


def _offers(body: Any) -> dict[str, Any]:
    """Return the instruments of an answer; ValueError if there are none."""
    read = {str(told["name"]): _offer(told) for told in body["instruments"]}
    offers = tuple(offer for offer in read.values() if offer is not None)
    if not offers:
        raise ValueError("no instruments")
    return {"instruments": offers, "left_out": tuple(n for n in read if read[n] is None)}


def _offer(told: dict[str, Any]) -> Offer | None:
    """Return what is told of an instrument; None if it makes no sense."""
    try:
        return _read(told)
    except _UNREADABLE:  # a ValidationError is a ValueError
        return None


def _read(told: dict[str, Any]) -> Offer:
    financing = told.get("financing") or {}
    return Offer(
        name=told["name"],
        kind=_kind(told),
        pip=float(f"1e{int(told['pipLocation'])}"),
        precision=told["displayPrecision"],
        minimum_size=told["minimumTradeSize"],
        margin=told["marginRate"],
        long_rate=financing.get("longRate"),
        short_rate=financing.get("shortRate"),
        financing_days=_days(financing.get("financingDaysOfWeek")),
    )


def _days(told: Any) -> tuple[int, ...] | None:
    """Return the days charged at the end of each day of the week, from Monday on."""
    if not told:
        return None
    charged = {str(each["dayOfWeek"]): int(each["daysCharged"]) for each in told}
    return tuple(charged.get(day, 0) for day in WEEKDAYS)


def _kind(told: dict[str, Any]) -> str:
    tags = [tag.get("name") for tag in told.get("tags") or [] if tag.get("type") == "ASSET_CLASS"]
    return next((KINDS[name] for name in (told.get("type"), *tags) if name in KINDS), "cfd")
