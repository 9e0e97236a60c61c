"""What OANDA's messages hold, as far as we read them; what we do not know is passed over."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, StrictBool, model_validator

from infra.brokers.oanda.scalars import Identity, Moment, Number, Positive, wire_name

ORDERS: Final = frozenset(
    f"{kind}_ORDER"
    for kind in (
        *("MARKET", "LIMIT", "STOP", "MARKET_IF_TOUCHED", "FIXED_PRICE", "TAKE_PROFIT"),
        *("STOP_LOSS", "TRAILING_STOP_LOSS", "GUARANTEED_STOP_LOSS"),
    )
)
"""Types of transactions that make an order."""


class Wire(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=wire_name)

    @model_validator(mode="before")
    @classmethod
    def _told(cls, told: Any) -> Any:
        """Null is as good as nothing."""
        if not isinstance(told, dict):
            return told
        return {name: value for name, value in told.items() if value is not None}


class Extensions(Wire):
    """What a client added to an order or trade."""

    id: str | None = None


class Head(Wire):
    """What every transaction tells."""

    id: Identity
    time: Moment
    type: str
    account_id: str | None = None


class TradeClose(Wire):
    """Of an order: the trade that it closes."""

    trade_id: Identity


class Made(Head):
    """An order was made, or was not; `reject_reason` says why."""

    instrument: str | None = None
    units: Number = Decimal(0)
    price: Number | None = None
    trade_id: Identity | None = None
    trade_close: TradeClose | None = None
    client_extensions: Extensions | None = None
    reason: str = ""
    reject_reason: str | None = None

    @property
    def client(self) -> str | None:
        """The client's name for the order."""
        return self.client_extensions.id if self.client_extensions else None

    @property
    def of_trade(self) -> int | None:
        """The trade that it belongs to."""
        return self.trade_close.trade_id if self.trade_close else self.trade_id


class Part(Wire):
    """Of a fill: what it did to a trade."""

    trade_id: Identity
    units: Number
    price: Positive | None = None
    realized_pl: Number = Decimal(0)
    financing: Number = Decimal(0)
    half_spread_cost: Number = Decimal(0)


class Filled(Head):
    """An order was filled."""

    order_id: Identity
    client_order_id: str | None = None
    instrument: str
    units: Number
    price: Positive | None = None
    full_vwap: Positive | None = None
    reason: str = ""
    pl: Number = Decimal(0)
    financing: Number = Decimal(0)
    commission: Number = Decimal(0)
    guaranteed_execution_fee: Number = Decimal(0)
    account_balance: Number | None = None
    trade_opened: Part | None = None
    trade_reduced: Part | None = None
    trades_closed: list[Part] | None = None


class Cancelled(Head):
    """An order was cancelled."""

    order_id: Identity
    client_order_id: str | None = None
    reason: str = ""


class TradeFinancing(Wire):
    """What a trade paid or earned overnight."""

    trade_id: Identity
    financing: Number = Decimal(0)


class PositionFinancing(Wire):
    """What a position paid or earned overnight."""

    open_trade_financings: list[TradeFinancing] | None = None


class Financed(Head):
    """Interest of a night."""

    financing: Number
    account_balance: Number | None = None
    position_financings: list[PositionFinancing] | None = None


class Bucket(Wire):
    """A step of the ladder of prices."""

    price: Positive


class Factors(Wire):
    """What a unit of a price's quote currency is worth at home."""

    positive_units: Positive
    negative_units: Positive


class Conversion(Wire):
    """What a unit of a currency is worth at home."""

    currency: str
    account_gain: Positive
    account_loss: Positive


class ClientPrice(Wire):
    """A price; `status` is of many words, of which one is good."""

    instrument: str
    time: Moment
    status: str | None = None
    tradeable: StrictBool | None = None
    bids: list[Bucket] = []
    asks: list[Bucket] = []
    closeout_bid: Positive | None = None
    closeout_ask: Positive | None = None
    quote_home_conversion_factors: Factors | None = None


class Pricing(Wire):
    """Answer of ``/pricing``."""

    prices: list[ClientPrice]
    home_conversions: list[Conversion] | None = None


class Quote(Wire):
    """Prices of a candle's side."""

    o: Positive
    h: Positive
    l: Positive  # noqa: E741
    c: Positive


class Candlestick(Wire):
    """A candle with bid and ask."""

    time: Moment
    complete: StrictBool
    bid: Quote
    ask: Quote


class Candles(Wire):
    """Answer of ``/candles``."""

    instrument: str
    candles: list[Candlestick]


class Instrument(Wire):
    """What may be traded, and how."""

    name: str
    display_precision: Number
    trade_units_precision: Number = Decimal(0)
    minimum_trade_size: Positive
    maximum_order_units: Positive
    margin_rate: Number


class Instruments(Wire):
    """Answer of ``/instruments``; each is read by itself, so that a strange one spoils none."""

    instruments: list[dict[str, Any]]


class Order(Wire):
    """An order that waits."""

    id: Identity
    type: str = ""
    state: str = "PENDING"
    instrument: str | None = None
    units: Number = Decimal(0)
    trade_id: Identity | None = None
    price: Positive | None = None
    trailing_stop_value: Positive | None = None
    client_extensions: Extensions | None = None


class Trade(Wire):
    """A trade in an account's summary."""

    id: Identity
    instrument: str
    price: Positive
    open_time: Moment
    current_units: Number
    unrealized_pl: Number = Decimal(0)
    margin_used: Number = Decimal(0)
    client_extensions: Extensions | None = None


class Details(Wire):
    """An account with what it holds."""

    id: str
    currency: str
    balance: Number
    nav: Number
    margin_used: Number
    margin_available: Number
    hedging_enabled: StrictBool = False
    trades: list[Trade]
    orders: list[Order]


class Account(Wire):
    """Answer of ``/accounts/{id}``."""

    account: Details
    last_transaction_id: Identity


class Owned(Wire):
    """An account of a token."""

    id: str


class Accounts(Wire):
    """Answer of ``/accounts``."""

    accounts: list[Owned]


class Last(Wire):
    """The end of the log, which most answers tell."""

    last_transaction_id: Identity


class Log(Last):
    """Answer of ``/transactions/sinceid`` and ``/idrange``; `reading` tells the transactions."""

    transactions: list[dict[str, Any]]
