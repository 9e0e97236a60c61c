"""A model of PLANTED in force: bars in the store, files, a row, and its pair enabled."""

from __future__ import annotations

from sqlalchemy import text

from infra.postgres import database as db
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.intake.rows import planted_rows
from tasks.research.registry import appoint, register
from tasks.rules.setup import Setup
from tasks.rules.texts import Source
from tests.tasks.research.test_walkforward import RECIPE, Whole
from tests.tasks.research.test_walkforward import run as backtested


def put_in_force(bars: int) -> tuple[Whole, RunFolder]:
    """Backtest so many planted hours, and put the model in force."""
    whole = backtested(planted_rows(bars, timeframe="H1", seed=5).drop("source_row"))
    bar_store().write("PLANTED", "H1", whole.bars)
    folder = RunFolder.of("backtest", "of-the-test")
    document.write(folder.model, whole.model)
    whole.library.write(folder.library)
    document.write(folder.strategy, Setup(Source("damped", "PLANTED", "H1"), RECIPE))
    register(whole.model, str(folder.path), {})
    appoint(whole.model.model_id, who="a test")
    with db.engine().begin() as connection:
        connection.execute(text("INSERT INTO pairs VALUES ('PLANTED', 'H1')"))
    return whole, folder
