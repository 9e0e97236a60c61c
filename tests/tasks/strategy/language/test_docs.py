"""The pages about the language say what is there, and their programs are programs."""

from __future__ import annotations

import json
import re

import pytest

from infra.settings import PROJECT
from tasks.strategy.language import graph, modules, parsing, program, registry
from tasks.strategy.language.builtins import BUILTINS, statistics
from tasks.strategy.language.compilation import ACTIONS, FIELDS
from tasks.strategy.language.formatting import formatted
from tasks.strategy.language.program import Program
from tasks.strategy.language.reference import BEGIN, END, listed, reference

DOCS = PROJECT / "docs"
PAGES = {
    name: (DOCS / name).read_text() for name in ("strategy-language.md", "from-pine-script.md")
}
PROGRAMS = [
    (name, text)
    for name, page in PAGES.items()
    for text in re.findall(r"```sep\n(.*?)```", page, re.DOTALL)
]


def test_the_reference_is_that_of_the_registry() -> None:
    _, _, rest = PAGES["strategy-language.md"].partition(f"{BEGIN}\n")
    written, _, _ = rest.partition(f"\n{END}")
    assert written == reference(), "paste what `python -m tasks.strategy.language.reference` prints"
    assert all(f"`{each.signature}`" in written for each in BUILTINS.values())
    assert all(each.signature in listed() for each in BUILTINS.values())


@pytest.mark.parametrize(("page", "text"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_its_programs_are_programs(page: str, text: str) -> None:
    assert Program.of(text).exit_rules
    assert formatted(text) == text


def test_there_are_programs_on_each_page() -> None:
    assert {name for name, _ in PROGRAMS} == set(PAGES)


def test_the_limits_are_those_of_the_code() -> None:
    (said,) = re.findall(r"\*\*Limits\.\*\* (.*?)\n\n", PAGES["strategy-language.md"], re.DOTALL)
    numbers = [int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", said)]
    assert numbers == [
        parsing.MOST_CHARACTERS,
        modules.MOST_FILES,
        modules.MOST_STREAMS,
        modules.MOST_ITEMS,
        parsing.MOST_DEPTH,
        graph.MOST_NODES,
        program.MOST_COLUMNS,
        registry.MOST_BARS,
        statistics.MOST_RANKED,
        graph.MOST_EARLIER,
    ]


def test_functions_that_pages_name_exist() -> None:
    here = re.findall(
        r"^\| `[^`]*`[^|]*\|([^|]*(?:\\\|[^|]*)*)\|", PAGES["from-pine-script.md"], re.M
    )
    named = {name for cell in here for name in re.findall(r"(\w+)\(", cell)}
    assert len(named) > 20
    assert named - set(BUILTINS) <= {"if", "f"}


def test_links_lead_somewhere() -> None:
    for page in PAGES.values():
        for target in re.findall(r"\]\(([^)#:]+)\)", page):
            assert (DOCS / target).exists(), target


def test_editors_know_all_words() -> None:
    patterns = json.loads((DOCS / "sep.tmLanguage.json").read_text())["patterns"]
    words = {word for each in patterns for word in re.findall(r"\w+", each.get("match", ""))}
    grammar = set(re.findall(r'"([a-z_]+)"', parsing.GRAMMAR.read_text()))
    assert words >= set(BUILTINS) | set(FIELDS) | set(ACTIONS) | grammar
    for each in patterns:
        re.compile(each.get("match", each.get("begin")))
