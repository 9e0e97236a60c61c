"""Where OANDA is asked: practice, live, or a simulator at an address of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httpx

from infra.brokers.broker import BrokerRefused
from infra.sources.oanda import LIVE, PRACTICE, VENUES

STREAMS: Final = {
    PRACTICE: "https://stream-fxpractice.oanda.com",
    LIVE: "https://stream-fxtrade.oanda.com",
}
REAL_ACCOUNTS: Final = "001-"
"""Begins the numbers of accounts that hold real money."""

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Venue:
    """A venue's addresses, without ``/v3``.

    Attributes
    ----------
    name : str
        ``practice``, ``live``, or the host's.
    url, stream : str
        Of requests and of streams.
    """

    name: str
    url: str
    stream: str

    @classmethod
    def of(cls, environment: str) -> Venue:
        """Return the venue of a setting.

        Parameters
        ----------
        environment : str
            ``practice``, ``live`` or an address: https, or http on loopback.

        Raises
        ------
        BrokerRefused
            If it is none of these.
        """
        url = VENUES.get(environment, environment).rstrip("/")
        try:
            address = httpx.URL(url)
        except (httpx.InvalidURL, TypeError, ValueError):
            address = httpx.URL()
        local = address.scheme == "http" and address.host in _LOOPBACK
        if not (address.scheme == "https" or local) or not address.host or address.userinfo:
            raise BrokerRefused(
                "SEP_OANDA_ENVIRONMENT is practice, live, an https address, or an http one on "
                "loopback"
            )
        names = {httpx.URL(known).host: name for name, known in VENUES.items()}
        return cls(names.get(address.host, address.host), url, STREAMS.get(url, url))

    @property
    def synthetic(self) -> bool:
        """Whether it is a simulator on this machine."""
        return self.name in _LOOPBACK

    @property
    def real(self) -> bool:
        """Whether money may be real there: unless it is known that it is not."""
        return self.name != "practice" and not self.synthetic

    @property
    def remote(self) -> bool:
        """Whether a proxy of the environment may stand between."""
        return not self.synthetic
