"""The path of prices."""

from __future__ import annotations

from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Call, Reply, invalid
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import Body, moment, number
from infra.brokers.simulator.wire import price as spelt
from infra.market.instrument import NO_CURRENCY
from infra.market.instruments import find


def asked(venue: Venue, call: Call) -> list[str]:
    """Return the instruments whose prices are asked for.

    Parameters
    ----------
    venue : Venue
    call : Call

    Raises
    ------
    Refusal
    """
    names = [name for name in call.names("instruments") or [] if name]
    if not names or set(names) - set(venue.market.minutes):
        invalid("Invalid value specified for 'instruments'")
    return [*dict.fromkeys(names)]


def told(venue: Venue, pair: str) -> Body | None:
    """Return a price as the venue tells it; None where there is none yet.

    Parameters
    ----------
    venue : Venue
    pair : str
    """
    known = venue.price(pair)
    return None if known is None else spelt(known, venue.ladder(pair), venue.market.now)


def prices(ask: Ask) -> Reply:
    """Tell present prices, and what currencies are worth to the account."""
    venue, call = ask.venue, ask.call
    pairs, since = asked(venue, call), call.moment("since")
    known = (told(venue, pair) for pair in pairs)
    found = [price for price in known if price is not None]
    if since is not None:
        found = [price for price in found if price["time"] > moment(since)]
    body: Body = {"time": moment(venue.market.now), "prices": found}
    if call.query.get("includeHomeConversions", "").lower() == "true":
        quotes = dict.fromkeys(find(pair).quote for pair in pairs)
        body["homeConversions"] = [
            _conversion(venue, each) for each in quotes if each != NO_CURRENCY
        ]
    return 200, body


def _conversion(venue: Venue, currency: str) -> Body:
    gain, loss = venue.worth(currency)
    return {
        "currency": currency,
        "accountGain": number(gain),
        "accountLoss": number(loss),
        "positionValue": number((gain + loss) / 2),
    }
