"""What a path's function is given."""

from __future__ import annotations

from typing import NamedTuple

from infra.brokers.simulator.calls import Call
from infra.brokers.simulator.venue import Venue


class Ask(NamedTuple):
    """A request at a venue; `name` is the order, trade, instrument or number of its path."""

    venue: Venue
    call: Call
    name: str = ""
