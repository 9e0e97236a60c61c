"""Text to items and back; what is wrong is said with its place."""
# ruff: noqa: E501 (a fault is a line)

from __future__ import annotations

import re
import time

import pytest

from infra.errors import SepError
from infra.market.table import shipped
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.parsing import MOST_CHARACTERS, parse
from tasks.strategy.language.printing import expressed, printed
from tasks.strategy.language.program import Program
from tasks.strategy.language.syntax import Binding, Expression, PatternItem
from tests.tasks.strategy.language import drawn
from tests.tasks.strategy.language.examples import FOLDER

HEAD = 'stream m5 from "EUR_USD" { timeframe: "M5" }\n'
TAIL = "signal s { trigger: p.v > 0; action: BUY; stop: 1; horizon: 5; }\n"


def expression(text: str) -> Expression:
    (item,) = parse(f"pattern p {{ v = {text}; }}").items
    assert isinstance(item, PatternItem)
    (binding,) = item.members
    assert isinstance(binding, Binding)
    return binding.value


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("2 + 3 * 4", "2 + (3 * 4)"),
        ("a || b && c", "a || (b && c)"),
        ("a == b < c", "a == (b < c)"),
        ("a < b + c", "a < (b + c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c % d", "((a / b) * c) % d"),
        ("-a * b", "(-a) * b"),
        ("!a && b", "(!a) && b"),
        ("- - 1", "-(-(1))"),
        (
            "if (a) { 1 } else if (b) { 2 } else { 3 }",
            "if (a) { 1 } else if (b) { 2 } else { (3) }",
        ),
    ],
)
def test_operators_bind_as_they_should(text: str, grouped: str) -> None:
    assert expression(text) == expression(grouped)
    assert expression(expressed(expression(grouped))) == expression(text)


def test_grouping_is_kept_where_it_matters() -> None:
    assert expressed(expression("(2 + 3) * 4")) == "(2 + 3) * 4"
    assert expressed(expression("a - (b - c)")) == "a - (b - c)"
    assert expression("(2 + 3) * 4") != expression("2 + 3 * 4")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sep")), ids=lambda path: path.stem)
def test_an_example_printed_is_the_same_again(path) -> None:  # type: ignore[no-untyped-def]
    script = parse(path.read_text())
    assert parse(printed(script)) == script


@pytest.mark.parametrize("seed", range(100))
def test_a_random_program_printed_is_the_same_again(seed: int) -> None:
    script = parse(drawn.program(seed))
    assert parse(printed(script)) == script
    assert printed(parse(printed(script))) == printed(script)


def test_comments_and_a_first_line_are_nothing() -> None:
    plain = parse("pattern p { v = 1; }")
    text = "#!/usr/bin/env sep\n// one\npattern p /* two\n */ { v = /***/ 1; // three\n}\n"
    assert parse(text) == plain
    assert parse(text).items[0].place.line == 3


FAULTS = [
    ("pattern p { v = close() + ; }", 2, 27, "unexpected ';'"),
    ("pattern p { v = cloes(); }", 2, 17, "did you mean close?"),
    ("pattern p { v = close; }", 2, 17, "close is a function, write close()"),
    ("pattern p { v = mean(close()); }", 2, 17, "mean(x, n) takes 2 arguments, not 1"),
    ("pattern p { v = mean(close(), 2.5); }", 2, 31, "n of mean is a whole number, not 2.5"),
    ("pattern p { v = mean(close(), close()); }", 2, 31, "must be known before anything runs"),
    ("pattern p { v = lag(close(), -1); }", 2, 30, "from 0 to 10000, not -1"),
    ("pattern p { v = mean(close(), 1/0); }", 2, 31, "not null"),
    ("pattern p { v = close() && true; }", 2, 17, "left of && is true or false, not a number"),
    ("pattern p { v = if (close()) { 1 } else { 2 }; }", 2, 21, "cond of if is true or false"),
    ("pattern p { v = if (true) { 1 } else { false }; }", 2, 17, "values of one kind"),
    ('pattern p { v = session("londn"); }', 2, 25, "did you mean london?"),
    ("pattern p { v = w + 1; w = v; }", 2, 13, "p.v needs itself"),
    ("pattern p { v = m6.close(); }", 2, 17, "did you mean m5?"),
    ("pattern p { v = m5.close; }", 2, 17, "write m5.close()"),
    ("pattern p { v = q.x; }", 2, 17, "there is no pattern q"),
    ("pattern p { v = p.w; }", 2, 17, "pattern p has no w"),
    ('pattern p { v = confidence("long"); }', 2, 17, "outside a signal the exit rule must be named"),
    ('pattern p { v = confidence("long", "t"); }', 2, 17, 'no signal "t" has an exit rule'),
    ("pattern p { v = rank_across_pairs(close()); }", 2, 35, "streams of other pairs"),
    ("pattern p { v = volatility_target(0.1); }", 2, 17, "a signal with a stop"),
    ("pattern p inherits q { v = 1; }", 2, 1, "there is no pattern q"),
    ("pattern p inherits p { v = 1; }", 2, 1, "a circle of patterns"),
    ("pattern p { input: m6 v = 1; }", 2, 1, "there is no stream m6; did you mean m5?"),
    ("pattern p { v = 1; v = 2; }", 2, 20, "p has v twice"),
    ("pattern p { param v = 5 in [1, 3]; }", 2, 13, "between two different bounds"),
    ("function f(x) = f(x);\npattern p { v = 1; }", 2, 17, "function f needs itself"),
    ("function f(x) = g(x); function g(x) = f(x);\npattern p { v = f(1); }", 2, 39, "needs itself"),
    ("function f(x) = y;\npattern p { v = 1; }", 2, 17, "function f has no parameter y"),
    ("function mean(x) = x;\npattern p { v = 1; }", 2, 1, "mean is built in"),
    ("function f(x) = x;\npattern p { v = f(1, 2); }", 3, 17, "write f(x): it was given 2"),
    ('import "../x.sep" { f }\npattern p { v = 1; }', 2, 1, "cannot import"),
    ('pattern p { v = 1; }\nstream x from "EUR_UDS" { timeframe: "M5" }', 3, 1, "EUR_UDS"),
    ('pattern p { v = 1; }\nstream x from "EUR_USD" { timeframe: "M7" }', 3, 1, "no timeframe"),
    ('pattern p { v = 1; }\nstream x from "EUR_USD" { timefrme: "M5" }', 3, 1, "mean timeframe?"),
    ("pattern p { v = 1; }\nsignal t { trigger: true; action: BUY; horizon: 5; }", 3, 1, "no stop"),
    ("pattern p { v = 1; }\nsignal t { trigger: true; stop: 1; horizon: 5; }", 3, 1, "no action"),
    ("pattern p { v = 1; }\nsignal t { triger: true; action: CLOSE; }", 3, 12, "mean trigger?"),
    ("pattern p { v = 1; }\nsignal t { trigger: 1; action: CLOSE; }", 3, 21, "true or false"),
    ("pattern p { v = 1; }\nsignal t { trigger: true; action: BUI; }", 3, 35, "mean BUY?"),
    ("pattern p { v = 1; }\nsignal t { trigger: v > 1; action: CLOSE; }", 3, 21, "write p.v"),
    ("pattern p { v = 1; }\nsignal t { trigger: true; action: BUY; stop: 1; horizon: 0; }", 3, 58, "not 0"),
    ("pattern p { v = 1; }\nsignal s { trigger: true; action: CLOSE; }", 4, 1, "s is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "line", "column", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_told_with_its_place(fault: str, line: int, column: int, words: str) -> None:
    with pytest.raises(DslError) as caught:
        Program.of(HEAD + fault + "\n" + TAIL, "my.sep")
    message = str(caught.value)
    assert message.startswith(f"my.sep:{line}:{column}: "), message
    assert words in message
    shown, caret = message.split("\n")[-2:]
    assert shown.strip() in (HEAD + fault + "\n" + TAIL)
    assert caret.index("^") == 4 + column - 1
    assert isinstance(caught.value, SepError)


def ranks(streams: int, deep: int) -> str:
    """Ranks of ranks across many pairs."""
    pairs = list(shipped())[:streams]
    named = "".join(
        f'stream s{k} from "{pair}" {{ timeframe: "M5" }}\n' for k, pair in enumerate(pairs)
    )
    return (
        named
        + "pattern p { v = "
        + "rank_across_pairs(" * deep
        + "close()"
        + ")" * deep
        + "; }"
        + TAIL
    )


def test_ranks_of_ranks_are_no_trouble() -> None:
    begin = time.perf_counter()
    assert Program.of(ranks(4, 12)).requires.warmup == 0
    assert time.perf_counter() - begin < 5


def test_hostile_texts_are_refused_soon() -> None:
    deep = "(" * 10_000 + "1" + ")" * 10_000
    doubling = "".join(f"function f{k}(x) = f{k - 1}(f{k - 1}(x));\n" for k in range(1, 60))
    wide = "".join(f"function f{k}(x) = f{k - 1}(x) + f{k - 1}(x * {k});\n" for k in range(1, 40))
    texts = [
        "x" * (MOST_CHARACTERS + 1),
        HEAD + "pattern p { v = " + "-" * 30_000 + "1; }" + TAIL,
        HEAD + "pattern p { v = " + "!" * 30_000 + "true; }" + TAIL,
        HEAD + "pattern p { v = " + "+".join(["1"] * 15_000) + "; }" + TAIL,
        HEAD + "function f0(x) = x + 1;\n" + doubling + "pattern p { v = f59(close()); }" + TAIL,
        HEAD + "function f0(x) = x + 1;\n" + wide + "pattern p { v = f39(close()); }" + TAIL,
        HEAD + "pattern p { v = " + "mean(" * 90 + "close()" + ", 10000)" * 90 + "; }" + TAIL,
        HEAD + "pattern p {" + "".join(f"v{k} = v{k + 1};" for k in range(1500)) + "}" + TAIL,
        HEAD + "".join(f"pattern p{k} inherits p{k + 1} {{ }}" for k in range(400)) + TAIL,
        ranks(30, 12),
        HEAD
        + "pattern p { v = "
        + " + ".join(f"mean(close(), {n})" for n in range(1, 99))
        + ";"
        + "".join(
            f"w{m} = " + "+".join(f"sum(open(), {n})" for n in range(m * 90, m * 90 + 90)) + ";"
            for m in range(1, 9)
        )
        + "} signal t { trigger: "
        + " + ".join(f"p.w{m}" for m in range(1, 9))
        + " > 0; action: CLOSE; }"
        + TAIL,
        "/" + "*" * 30_000,
        '"' * 30_000,
    ]
    for text in texts:
        begin = time.perf_counter()
        with pytest.raises(DslError):
            Program.of(text)
        assert time.perf_counter() - begin < 10, text[:60]
    assert Program.of(HEAD + f"pattern p {{ v = {deep}; }}" + TAIL)


def test_imports_stay_in_the_folder_of_the_strategy(tmp_path) -> None:  # type: ignore[no-untyped-def]
    project, outside = tmp_path / "project", tmp_path / "outside.sep"
    (project / "shared").mkdir(parents=True)
    outside.write_text("function f(x) = x;")
    (project / "linked.sep").symlink_to(outside)
    (project / "shared" / "two.sep").write_text(
        'import "three.sep" { g } function f(x) = g(x) + 1;'
    )
    (project / "shared" / "three.sep").write_text("function g(x) = 2 * x; function h(x) = x;")
    (project / "circle.sep").write_text('import "circle.sep" { f } function f(x) = x;')
    main = project / "main.sep"

    def of(path: str, names: str = "f") -> Program:
        main.write_text(
            f'import "{path}" {{ {names} }}\n{HEAD}pattern p {{ v = f(close()); }}\n{TAIL}'
        )
        return Program.read(main)

    first = of("shared/two.sep").digest
    (project / "shared" / "three.sep").write_text("function g(x) = 3 * x;")
    assert of("shared/two.sep").digest != first
    for path in ("../outside.sep", str(outside), "linked.sep", "missing.sep", "shared", "a\0b.sep"):
        with pytest.raises(DslError, match=r"no \.sep file"):
            of(path)
    with pytest.raises(DslError, match="a circle of imports"):
        of("circle.sep")
    with pytest.raises(DslError, match="no function or pattern h"):
        of("shared/two.sep", "f, h")
    assert re.search("f", first) is not None or first
