"""A page of somebody else's, open in the browser of the machine that runs the servers.

It may send requests to 127.0.0.1 and read what an answer allows it to (CORS); or its name comes to
mean 127.0.0.1 once it is loaded (DNS rebinding), and all that answers is of its own origin.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

from infra.servers import prefect
from tests.deployments import scratch
from tests.stack import Stack

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: chromium)")

PAGE = """<!doctype html><title>cats</title><script>
async function attempt({name, url, ...options}) {
  try {
    const answer = await fetch(url, options);
    return [name, `${answer.type} ${answer.status} ${(await answer.text()).slice(0, 200)}`];
  } catch (error) { return [name, `refused: ${error}`]; }
}
(async () => {
  const seen = await Promise.all(ATTEMPTS.map(attempt));
  await fetch("/report", {method: "POST", body: JSON.stringify(Object.fromEntries(seen))});
})();
</script>"""

Attempt = dict[str, Any]


class Page(ThreadingHTTPServer):
    """Somebody's server: a page, what it reports, and all else from the server at `behind`."""

    daemon_threads = True

    def __init__(self, attempts: list[Attempt], behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = PAGE.replace("ATTEMPTS", json.dumps(attempts))
        self.behind = behind
        self.reports: Queue[dict[str, str]] = Queue()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, self.server.page.encode(), "text/html")
        else:
            self._pass_on()

    def do_POST(self) -> None:
        if self.path == "/report":
            self.server.reports.put(json.loads(self._body()))
            self._answer(200, b"", "text/plain")
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        """Hand a request over as the browser sent it, the name it asks by included."""
        headers = {name: value for name, value in self.headers.items() if name != "Content-Length"}
        url = f"{self.server.behind}{self.path}"
        answer = httpx.request(self.command, url, content=self._body(), headers=headers, timeout=60)
        self._answer(answer.status_code, answer.content, "application/json")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(attempts: list[Attempt], behind: str) -> Iterator[Page]:
    with Page(attempts, behind) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        yield page
        page.shutdown()


def browse(page: Page, host: str, folder: Path) -> dict[str, str]:
    """Open the page by a name that means 127.0.0.1; return what its script saw."""
    rules = ("--host-resolver-rules=MAP evil.example 127.0.0.1", f"--user-data-dir={folder}")
    command = [str(CHROMIUM), *QUIET, *rules, f"http://{host}:{page.port}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as browser:
        try:
            return page.reports.get(timeout=120)
        finally:
            browser.kill()


def attempts_at(address: str, deployment: str, **headers: str) -> list[Attempt]:
    """Reading and starting runs, as a page may ask for it."""
    as_json = {"Content-Type": "application/json"}
    read = f"{address}/flow_runs/filter"
    run = f"{address}/deployments/{deployment}/create_flow_run"
    body = json.dumps({"parameters": {"folder": "/nowhere"}})
    post = {"method": "POST", "body": "{}"}
    return [
        {"name": "own", "url": "/", "headers": {}},
        {"name": "health", "url": f"{address}/health", "headers": headers},
        {"name": "read", "url": read, **post, "headers": headers, "credentials": "include"},
        {"name": "read json", "url": read, **post, "headers": headers | as_json},
        {
            "name": "run",
            "url": run,
            **post,
            "body": body,
            "mode": "no-cors",
            "credentials": "include",
        },
        {"name": "run json", "url": run, **post, "body": body, "headers": headers | as_json},
    ]


@pytest.fixture
def deployment(stack: Stack) -> str:
    scratch.register(stack)
    with stack.api() as api:
        return str(api.get("/deployments/name/scratch/local")["id"])


def login(stack: Stack) -> dict[str, str]:
    password = prefect.password_path(stack.home).read_bytes()
    return {"Authorization": f"Basic {base64.b64encode(password).decode()}"}


def runs(stack: Stack) -> int:
    with stack.api() as api:
        return int(api.post("/flow_runs/count", {"flows": {"name": {"any_": ["scratch"]}}}))


@pytest.mark.parametrize("knows", [False, True], ids=["stranger", "password known"])
def test_a_foreign_page_reads_and_starts_nothing(
    stack: Stack, deployment: str, knows: bool, tmp_path: Path
) -> None:
    before, headers = runs(stack), login(stack) if knows else {}
    server = stack.api_url.removesuffix("/api")
    with served(attempts_at(stack.api_url, deployment, **headers), server) as page:
        seen = browse(page, "127.0.0.1", tmp_path)
    assert seen.pop("own").startswith("basic 200 <!doctype html>")
    assert seen.pop("run").startswith("opaque 0 ")
    assert {name: text.split(":")[0] for name, text in seen.items()} == dict.fromkeys(
        ("health", "read", "read json", "run json"), "refused"
    )
    assert runs(stack) == before


@pytest.mark.parametrize("knows", [False, True], ids=["stranger", "password known"])
def test_a_name_that_comes_to_mean_this_machine_is_refused(
    stack: Stack, deployment: str, knows: bool, tmp_path: Path
) -> None:
    before, headers = runs(stack), login(stack) if knows else {}
    server = stack.api_url.removesuffix("/api")
    with served(attempts_at("/api", deployment, **headers), server) as page:
        seen = browse(page, "evil.example", tmp_path)
    assert seen.pop("own").startswith("basic 200 <!doctype html>")
    assert set(seen.values()) == {"basic 400 Invalid host header"}
    assert runs(stack) == before


def test_the_pages_read_where_they_may(stack: Stack, deployment: str, tmp_path: Path) -> None:
    """The same page by a name that is answered, with the password: the attacks can succeed."""
    before, server = runs(stack), stack.api_url.removesuffix("/api")
    with served(attempts_at("/api", deployment, **login(stack)), server) as page:
        seen = browse(page, "localhost", tmp_path)
    assert seen["health"] == "basic 200 true"
    assert seen["read json"].startswith("basic 200 [")
    assert seen["run"].startswith("basic 401 ")
    assert seen["run json"].startswith("basic 201 ")
    assert runs(stack) == before + 1
