"""Every table there is, whichever module describes it."""

from __future__ import annotations

from typing import Final

from infra.postgres import outcomes, trading
from infra.postgres.models import Base

TABLES: Final = frozenset(Base.metadata.tables)
"""Names of the tables of models, trading and outcomes."""

assert {trading.Intent.__tablename__, outcomes.SignalOutcome.__tablename__} <= TABLES
