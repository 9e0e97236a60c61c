"""Mangled answers never crash the client, and no answer counts as a fill that does not tell it."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.brokers.broker import BrokerError, Done, Reply, Transaction, Unknown
from infra.brokers.oanda.broker import OandaBroker
from tests.infra.brokers.oanda.mangling import CHANGES, GOOD, QUESTIONS, answered, bent, broken
from tests.infra.brokers.oanda.replies import ACCOUNT, ENTRY, TRADE, Json, broker

SHARE = 2000


@dataclass
class Fuzz:
    """A broker whose venue mangles what it says; answers are counted by what came of them."""

    counts: Counter[str] = field(default_factory=Counter)
    told: list[tuple[int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random()
        self.made = True
        self.good: tuple[int, Any] = (200, {})
        self.venue: OandaBroker = broker(self._answer)
        self.asked: OandaBroker = broker(self._answer, terms=True)

    def _answer(self, _: httpx.Request) -> httpx.Response:
        status, body = self.good
        self.made = False  # the client takes errors of this test for the venue's
        content = broken(json.dumps(bent(body, self.chance)).encode(), self.chance)
        self.made = True
        answer = answered(status, content, self.chance)
        self.told.append((answer.status_code, content))
        return answer

    def once(self, seed: int) -> None:
        """Mangle an answer to something, and judge what the client makes of it."""
        self.chance.seed(seed)
        self.told.clear()
        name = self.chance.choice([*CHANGES, *CHANGES, *QUESTIONS])
        if name in CHANGES:
            self.good = self.chance.choice(GOOD[name])
            reply = CHANGES[name](self.venue)
            self.counts[f"{type(reply).__name__.lower()}"] += 1
            judge(name, reply, self.told)
        else:
            self._ask(name)
        assert self.made

    def _ask(self, name: str) -> None:
        question, body = QUESTIONS[name]
        self.good = 200, body
        self.asked._terms_until = float("-inf") if name == "terms" else float("inf")
        self.asked._terms = {} if name == "terms" else self._terms
        try:
            answer = question(self.asked)
        except BrokerError:
            self.counts["errors"] += 1
            return
        self.counts["answers"] += 1
        if name == "since":
            judge_log(answer, self.told)

    @property
    def _terms(self) -> dict[str, Any]:
        self.venue.terms("EUR_USD")
        return self.venue._terms


def judge(name: str, reply: Reply, told: list[tuple[int, bytes]]) -> None:
    """Hold a reply to what the venue said, read in the slow, obvious way."""
    assert len(told) <= 1
    status, body = (told[0][0], plainly(told[0][1])) if told else (0, None)
    fills = _fills(reply)
    if fills:
        assert status in (200, 201)
        assert body is not None
        assert tells_of_ours(name, body)
    elif isinstance(reply, Done) and name != "protect":
        assert "orderFillTransaction" not in {key for key in body or {} if (body or {})[key]}
    if status in (200, 201):
        assert isinstance(reply, Done | Unknown), reply
    if status >= 500:
        assert isinstance(reply, Unknown)
    if isinstance(reply, Done):
        ends = {line.kind for line in reply.transactions}
        assert ends & ({"order", "reject"} if name == "protect" else {"fill", "cancel", "reject"})


def _fills(reply: Reply) -> list[Transaction]:
    lines = reply.transactions if isinstance(reply, Done) else ()
    return [line for line in lines if line.kind == "fill"]


def tells_of_ours(name: str, body: Json) -> bool:
    made, fill = body["orderCreateTransaction"], body["orderFillTransaction"]
    same = int(fill["orderID"]) == int(made["id"]) and fill["type"] == "ORDER_FILL"
    same &= fill.get("accountID") in (None, ACCOUNT) and made.get("accountID") in (None, ACCOUNT)
    if name == "protect":
        return False
    if name == "enter":
        ours = made["clientExtensions"]["id"] == ENTRY.client_id
        ours &= fill.get("clientOrderID") in (None, ENTRY.client_id)
        opened = float(fill["tradeOpened"]["units"])
        sides = (float(fill["units"]), float(made["units"]), opened)
        return same and ours and fill["instrument"] == "EUR_USD" and set(sides) == {-1000.0}
    parts = [*(fill.get("tradesClosed") or []), *filter(None, [fill.get("tradeReduced")])]
    return same and [int(part["tradeID"]) for part in parts] == [int(TRADE)]


def plainly(content: bytes) -> Json | None:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def judge_log(log: list[Transaction], told: list[tuple[int, bytes]]) -> None:
    """The log is consecutive, and each fill in it was told."""
    assert [line.id for line in log] == list(range(6357, 6357 + len(log)))
    bodies = [plainly(content) for status, content in told if status == 200]
    pages = [body.get("transactions") for body in bodies if body]
    lines = [line for page in pages if isinstance(page, list) for line in page]
    said = {
        f"{line.get('id')} {line['instrument']} {line.get('clientOrderID')}"
        for line in lines
        if isinstance(line, dict) and line.get("type") == "ORDER_FILL" and line.get("instrument")
    }
    fills = {f"{line.id} {line.pair} {line.client_id}" for line in log if line.kind == "fill"}
    assert fills <= said


def test_mangled_answers() -> None:
    fuzz = Fuzz()
    for seed in range(SHARE):
        fuzz.once(seed)
    print(f"{SHARE:,} answers: {dict(fuzz.counts)}")
    assert sum(fuzz.counts.values()) == SHARE
    assert min(fuzz.counts[name] for name in ("done", "unknown", "answers", "errors")) > 100
    assert fuzz.counts["refused"] > 20
