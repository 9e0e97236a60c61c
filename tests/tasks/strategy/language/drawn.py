"""Random programs that are valid, and random texts that hardly ever are."""

from __future__ import annotations

import random
from typing import Final

from tasks.audit.drawn import program

__all__ = ["damaged", "program", "text"]


WORDS: Final = (
    "stream", "from", "pattern", "inherits", "input", "param", "in", "signal", "function", "import",
    "if", "else", "true", "false", "weighted_sum", "trigger", "action", "stop", "horizon", "BUY",
    "CLOSE", "{", "}", "(", ")", "[", "]", ";", ":", ",", "=", ".", "||", "&&", "==", "!=", "<",
    "<=", "+", "-", "*", "/", "%", "!", "1", "0.5", "1e9", '"EUR_USD"', '"M5"', "timeframe", "x",
    "close", "mean", "m5", "//", "/*", "*/", "\n", '"', "é", "\x00", "confidence", '"long"',
)  # fmt: skip


def text(seed: int) -> str:
    """A text of the language's words, of any characters, or a valid program with a fault."""
    rng = random.Random(seed)
    kind = seed % 3
    if kind == 0:
        return " ".join(rng.choices(WORDS, k=rng.randrange(40)))
    if kind == 1:
        return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x3000)]))
                       for _ in range(rng.randrange(80)))  # fmt: skip
    return damaged(program(seed // 3 % 400), rng)


def damaged(whole: str, rng: random.Random) -> str:
    start = rng.randrange(len(whole))
    end = min(len(whole), start + rng.choice([0, 1, 1, 2, 8, 40]))
    return whole[:start] + rng.choice(["", *WORDS]) + whole[end:]
