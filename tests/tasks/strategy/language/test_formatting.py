"""One layout: the meaning and the comments stay, and doing it again changes nothing."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tasks.strategy.language.errors import DslError
from tasks.strategy.language.formatting import _TOKEN, formatted
from tasks.strategy.language.parsing import parse
from tests.tasks.strategy.language import drawn
from tests.tasks.strategy.language.examples import FOLDER

UGLY = """#!/usr/bin/env sep
// first
stream a from "EUR_USD"{timeframe:"M5"};
stream b from "EUR_USD" {timeframe:"M15",} // slower


import "x.sep" {f,g}
function f ( x,y )=x+ - y*2;
pattern p inherits q{input:a param n=5 in[-1,9];
  v=if(a.close()>1){1}else if(!w){-2}else{3};   // kept

  // alone
  w = weighted_sum{close():0.4,open():- 1}>0
      &&   true /* why */ ;
}
signal s{trigger:p.w;action:BUY;stop:1;/* two
lines */horizon:5;}
// last
"""
NEAT = """#!/usr/bin/env sep
// first
stream a from "EUR_USD" { timeframe: "M5" };
stream b from "EUR_USD" { timeframe: "M15", }  // slower

import "x.sep" { f, g }

function f(x, y) = x + -y * 2;

pattern p inherits q {
    input: a
    param n = 5 in [-1, 9];
    v = if (a.close() > 1) { 1 } else if (!w) { -2 } else { 3 };  // kept

    // alone
    w = weighted_sum { close(): 0.4, open(): -1 } > 0
        && true  /* why */;
}

signal s {
    trigger: p.w;
    action: BUY;
    stop: 1;  /* two
lines */
    horizon: 5;
}

// last
"""


def test_the_layout() -> None:
    assert formatted(UGLY) == NEAT
    assert formatted(NEAT) == NEAT


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sep")), ids=lambda path: path.stem)
def test_the_examples_are_laid_out(path: Path) -> None:
    assert formatted(path.read_text()) == path.read_text()


def shaken(text: str, rng: random.Random) -> str:
    """The same tokens with other spaces, line breaks and comments between them."""
    parts = [found[0] for found in _TOKEN.finditer(text)]
    gaps = [" ", "  ", "\n", "\n\n\n", " // why\n", "\n// alone\n", " /* so */ ", "\n/* a\nb */\n"]
    return "".join(part + rng.choice(gaps) for part in parts)


@pytest.mark.parametrize("seed", range(60))
def test_any_layout_becomes_the_one(seed: int) -> None:
    text = drawn.program(seed)
    whole = shaken(text, random.Random(seed)) if seed % 3 else text
    once = formatted(whole)
    assert formatted(once) == once
    assert parse(once) == parse(whole)
    comments = r"//[^\n]*|/\*.*?\*/"
    assert re.findall(comments, once, re.DOTALL) == re.findall(comments, whole, re.DOTALL)


def test_a_text_that_is_none_is_left_alone() -> None:
    with pytest.raises(DslError):
        formatted("pattern p {")
