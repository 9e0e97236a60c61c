from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infra.market.quotes import Costs
from tasks.reports.report import CAPTIONS, GLOSSARY, LAST_TRADES, write_report
from tasks.reports.summary import summarise
from tasks.research.simulation import simulate
from tasks.strategy.strategies import damped
from tests.tasks.frames import one_segment, predictions_of, random_predictions

ABOUT: dict[str, Any] = {
    "pair": "EUR_USD",
    "timeframe": "H1",
    "data_hash": "0123456789abcdef",
    "seed": 20260101,
    "settings": {"horizon": 8, "stop": None},
}
PICTURES = ("waterfall", *CAPTIONS)
FILES = {"report.html", *(f"{name}.png" for name in PICTURES)}


def report(
    folder: Path,
    predictions: pl.DataFrame,
    about: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    pictures: Iterable[str] = (),
) -> str:
    test = predictions.filter(pl.col("split") == "test")
    signals = damped(test)
    simulation = simulate(
        test, signals, segments=one_segment(test.height), horizon=8, costs=Costs(spread=0.02)
    )
    summary = summarise(predictions, signals, simulation, horizon=8, about=about or ABOUT)
    summary |= more or {}
    path = write_report(folder, predictions, signals, simulation, summary)
    assert path == folder / "report.html"
    assert {file.name for file in folder.iterdir()} == FILES | {f"{each}.png" for each in pictures}
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags that must be closed in order, every address, and the words."""

    VOID = ("meta", "img", "br", "link", "!doctype")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> str:
    predictions = random_predictions(2000, seed=1, skill=1.0)
    return report(tmp_path_factory.mktemp("run"), predictions)


def test_it_is_one_file_that_loads_nothing(traded: str) -> None:
    page = Page(traded)
    assert "://" not in traded
    assert "url(" not in traded
    assert "@import" not in traded
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert len(traded.encode()) < 1_500_000


def test_every_picture_is_inside_with_its_caption(traded: str) -> None:
    images = Page(traded).addresses
    assert len(images) == len(PICTURES) == 9
    for image in images:
        assert base64.b64decode(image.partition(",")[2]).startswith(b"\x89PNG")
    for name, caption in CAPTIONS.items():
        assert f'id="{name}"' in traded
        assert plain(caption) in plain(traded)


def test_it_opens_with_the_verdict_and_says_how_it_was_made(traded: str) -> None:
    words = plain(" ".join(Page(traded).words))
    assert words.index("No edge after costs") < words.index("Result")
    for expected in (
        "0123456789abcdef",
        "20260101",
        "settings: horizon",
        "versions: polars",
        "python",
    ):
        assert expected in words
    assert "not financial advice" in words
    assert "95 % interval" in words
    assert all(term in words for term in GLOSSARY)


def test_the_last_trades_are_listed_newest_first(traded: str) -> None:
    body = traded.partition('<table class="trades">')[2].partition("</table>")[0]
    entered = re.findall(r"<tr>\n<td>(\d{4}-\d\d-\d\d \d\d:\d\d)</td>", body)
    assert len(entered) == LAST_TRADES
    assert entered == sorted(entered, reverse=True)


LEARNT: dict[str, Any] = {
    "learners": [
        {"name": "last step", "weight": 0.314, "brier_skill": 0.0612, "skill_low": 0.04},
        {"name": "all together", "weight": None, "brier_skill": 0.0912, "skill_low": None},
    ],
    "caution": {
        "in_force": 0.5,
        "chosen_by": "past",
        "tried": [
            {"caution": 0.5, "test": 0.05, "past": 0.1, "trades": 90},
            {"caution": "lower", "test": 0.0, "past": None, "trades": 0},
        ],
    },
}
TRUTH = {"truth": {"sentence": "84 % of what could be known, 91 % of what could be earned"}}


def test_learners_are_a_table(tmp_path: Path) -> None:
    text = report(tmp_path, predictions_of(40), more=LEARNT)
    table = text.partition('<table class="learners">')[2].partition("</table>")[0]
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table.partition("<tbody>")[2])
    rows = [["last step", "0.31", "0.0612", "0.0400"], ["all together", "–", "0.0912", "–"]]
    assert cells == [cell for row in rows for cell in row]
    assert table.count('<tr class="all">') == 1
    words = plain(text)
    assert "Learner: last step" not in words
    assert "0.5, what grew most on the past; most growth on the test span by 0.5" in words


def test_the_truth_is_told_where_it_is_known(tmp_path: Path) -> None:
    words = plain(report(tmp_path, predictions_of(40), more=LEARNT | TRUTH))
    assert f"Its truth is known: {TRUTH['truth']['sentence']}." in words
    assert "truth" not in plain(report(tmp_path, predictions_of(40), more=LEARNT)).lower()


def test_it_works_on_a_phone_and_in_the_dark(traded: str) -> None:
    assert 'name="viewport" content="width=device-width' in traded
    assert "prefers-color-scheme: dark" in traded


def test_without_signals_it_says_so(tmp_path: Path) -> None:
    words = plain(report(tmp_path, random_predictions(600, seed=2)))
    assert "There were no trades: no bar" in words
    assert "expected net gain, less caution, was above zero" in words


def test_it_is_written_even_of_nothing(tmp_path: Path) -> None:
    assert "No edge after costs" in report(tmp_path, predictions_of(0), {"seed": 0})


def test_names_are_escaped(tmp_path: Path) -> None:
    about = {"pair": "<script>alert(1)</script>", "note": "a & b", "settings": {"<b>": "<i>"}}
    text = report(tmp_path, predictions_of(20), about)
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b" in text


def test_a_further_exit_rule_has_pictures_of_its_own(tmp_path: Path) -> None:
    predictions = random_predictions(600, seed=3)
    test = predictions.filter(pl.col("split") == "test")
    trades = simulate(
        test, damped(test), segments=one_segment(test.height), horizon=8, costs=Costs(spread=0.02)
    )
    summary = summarise(predictions, damped(test), trades, horizon=8)
    path = write_report(
        tmp_path, predictions, damped(test), trades, summary, {"buy": (predictions, 12)}
    )
    text = path.read_text(encoding="utf-8")
    for name in ("reliability", "coverage"):
        assert f'id="{name}-buy"' in text
        assert (tmp_path / f"{name}-buy.png").exists()
    assert "Exit rule buy." in text


def test_the_pictures_lie_beside_it_and_writing_again_replaces_all(tmp_path: Path) -> None:
    assert "FIRST" in report(tmp_path, predictions_of(20), {"pair": "FIRST"})
    text = report(tmp_path, predictions_of(30), {"pair": "SECOND"})
    assert "FIRST" not in text
    for name, image in zip(PICTURES, Page(text).addresses, strict=True):
        assert (tmp_path / f"{name}.png").read_bytes() == base64.b64decode(image.partition(",")[2])


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))
