"""The step of execution: fresh signals to fills, under the account's lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.brokers.paper import PaperBroker
from infra.settings import settings
from tasks.folder import bar_store
from tasks.trading import execution
from tasks.trading.journal import Journal
from tasks.trading.lease import LeaseHeld, acquire


@task(name="trade", cache_policy=NO_CACHE, persist_result=True, result_serializer="json")
def trade(account: str, *, holder: str, clock: list[str], units: float) -> dict[str, Any]:
    """Run the executor at each time of the clock, under the account's lease.

    Doing it again does nothing twice: the journal decides, not Prefect.

    Parameters
    ----------
    account : str
    holder : str
        Who holds the lease: the run.
    clock : list of str
        ISO times: the wall clock's one, or the closes of replayed bars.
    units : float
        Size of every order.

    Returns
    -------
    dict
        `held` (why nothing was done, or None) and the rows `entered`, `left`, `refused`.
    """
    broker = PaperBroker(bar_store(), currency=settings().account_currency)
    name = f"execute:{account}"
    done = execution.Done()
    try:
        for now in map(datetime.fromisoformat, clock):
            journal = Journal(account, acquire(name, holder))
            done.add(execution.step(execution.Executor(broker, journal, units), now))
    except LeaseHeld as error:
        return {"held": str(error), **done.to_dict()}
    journal.lease.release()
    return {"held": None, **done.to_dict()}
