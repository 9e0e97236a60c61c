"""What flows are asked for: one model each, bounded, with times in UTC."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from infra.market import spelling
from infra.market.instruments import canonical

Pair = Annotated[
    str,
    Field(pattern=spelling.SHAPE, max_length=spelling.LONGEST),
    AfterValidator(canonical),
]
"""An instrument by any of its names; one that nobody knows is refused before a run begins."""

Account = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]

StrategyName = Annotated[str, Field(min_length=1, max_length=400)]
"""A .sep file, or the name of an example or of a strategy in Python."""


class Parameters(BaseModel):
    """What a flow is asked for; each field is described once, where the UI finds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*")
    @classmethod
    def _in_utc(cls, value: Any) -> Any:
        """Take a time without a zone for UTC, and say so.

        Not in the field's type: Prefect would apply it before the run begins, and unheard.
        """
        if not isinstance(value, datetime):
            return value
        if value.tzinfo is not None:
            return value.astimezone(UTC)
        with suppress(MissingContextError):  # asked outside a run: nobody listens
            get_run_logger().info("%s names no zone: taken as UTC", value)
        return value.replace(tzinfo=UTC)
