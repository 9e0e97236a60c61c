"""A project of its own with one small flow, for tests that need runs which fail or last."""

from __future__ import annotations

from pathlib import Path

from deployments import environment, registration
from tests.stack import Stack

FLOW = '''
"""A flow whose steps leave a mark each time they run."""

import time
from pathlib import Path

from prefect import flow, task


def mark(folder: str, name: str) -> None:
    with (Path(folder) / name).open("a") as file:
        file.write("x")


@task(persist_result=True, result_serializer="json")
def first(folder: str) -> int:
    mark(folder, "first")
    return 7


@task(persist_result=True, result_serializer="json")
def second(folder: str, value: int) -> int:
    mark(folder, "second")
    if (Path(folder) / "fail").exists():
        raise RuntimeError("asked to fail")
    while (Path(folder) / "wait").exists():
        time.sleep(0.1)
    return value + 1


@task
def store(folder: str, value: int) -> int:
    """Write to the database, as every flow of ours does at its end."""
    from sqlalchemy import text

    from infra.postgres.database import engine

    mark(folder, "store")
    with engine().begin() as connection:
        connection.execute(text("SELECT 1"))
    return value


@flow(name="scratch")
def scratch(folder: str) -> int:
    return store(folder, second(folder, first(folder)))
'''

DECLARATION = """
name: scratch
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{project}"
deployments:
  - name: local
    version: "{{{{ $SEP_VERSION }}}}"
    entrypoint: flows/scratch.py:scratch
    work_pool: {{name: local-gpu, work_queue_name: live}}
    schedules:
      - {{slug: minutely, cron: "* * * * *", timezone: UTC, active: false}}
"""


def project(stack: Stack) -> Path:
    """Return the folder of the project, written at first use."""
    folder = stack.home.parent / "scratch"
    if not folder.exists():
        (folder / "flows").mkdir(parents=True)
        (folder / "flows" / "scratch.py").write_text(FLOW)
        (folder / "prefect.yaml").write_text(DECLARATION.format(project=folder))
    return folder


def register(stack: Stack) -> bool:
    """Register the deployment `scratch/local`; say whether there was anything to do."""
    variables = environment.worker_environment(stack.settings, stack.api_url)
    with stack.api() as api:
        return registration.register(api, variables, project(stack))


def counts(marks: Path) -> dict[str, int]:
    """Return how often each step ran."""
    return {path.name: path.stat().st_size for path in marks.iterdir() if path.stat().st_size}
