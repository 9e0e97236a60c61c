"""The few calls to a Prefect server's REST API that `sep` needs.

Prefect's own client takes two seconds to import; a second `sep up` should not wait for it.
"""

from __future__ import annotations

import base64
import os
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from infra.errors import SepError
from infra.servers import prefect
from infra.settings import Settings
from infra.waiting import last_answer

_BUSY = 503  # what a server on SQLite says while its file is locked
_ATTEMPTS = 8


class PrefectError(SepError, RuntimeError):
    """Prefect refused a request, or does not answer."""


class Api:
    """A Prefect server, by the address of its API.

    `PREFECT_API_KEY` and `PREFECT_API_AUTH_STRING` are honoured, as Prefect's own client does.
    """

    def __init__(self, url: str, *, password: str | None = None, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        remote = self.url.startswith("https://")  # without, certificates are not read: 20 ms
        self._client = httpx.Client(
            base_url=f"{self.url}/",
            headers=_headers(password),
            timeout=timeout,
            trust_env=remote,
            verify=remote,
        )

    @classmethod
    def of(cls, settings: Settings, url: str, *, timeout: float = 30.0) -> Self:
        """Return the server at `url`, with the password if it is the one of the home.

        Parameters
        ----------
        settings : Settings
            Of this machine.
        url : str
            Address of its API.
        timeout : float
            Seconds for an answer.
        """
        return cls(url, password=prefect.password(settings.home, url), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        """Return what `path` holds.

        Raises
        ------
        PrefectError
            If the server does not answer, or answers with an error.
        """
        return self._request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Send `body` and return the answer; raises as `get` does.

        Parameters
        ----------
        path : str
            Below the API, such as "/flow_runs/filter".
        body : object
            What JSON can hold.
        """
        return self._request("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        """Replace what is at `path`; raises as `get` does.

        Parameters
        ----------
        path : str
            Below the API, such as "/flow_runs/filter".
        body : object
            What JSON can hold.
        """
        return self._request("PUT", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """Change what is at `path`; raises as `get` does.

        Parameters
        ----------
        path : str
            Below the API, such as "/flow_runs/filter".
        body : object
            What JSON can hold.
        """
        return self._request("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Remove what is at `path`; raises as `get` does."""
        self._request("DELETE", path)

    def create(self, path: str, body: Any) -> None:
        """Send `body` unless what it names is there already; raises as `get` does.

        Parameters
        ----------
        path : str
            Below the API, such as "/flow_runs/filter".
        body : object
            What JSON can hold.
        """
        self._request("POST", path, body, accept=(409,))

    def _request(
        self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = ()
    ) -> Any:
        reply = self._patiently(method, path, body)
        if reply.is_error and reply.status_code not in accept:
            raise PrefectError(
                f"Prefect at {self.url} answered {reply.status_code} to {method} {path}: "
                f"{reply.text[:500]}"
            )
        return reply.json() if reply.content else None

    def _patiently(self, method: str, path: str, body: Any) -> httpx.Response:
        """Ask again while the server is busy, as Prefect's own client does."""
        asking = Retrying(
            retry=retry_if_result(lambda reply: reply.status_code == _BUSY),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(0.1, max=12.8),
            retry_error_callback=last_answer,
        )
        try:
            return asking(self._client.request, method, path.lstrip("/"), json=body)
        except httpx.HTTPError as error:
            raise PrefectError(
                f"Prefect does not answer at {self.url} ({error or type(error).__name__}): "
                "run `sep up`, or correct SEP_PREFECT_API_URL"
            ) from error


def _headers(password: str | None) -> dict[str, str]:
    text = password or os.environ.get("PREFECT_API_AUTH_STRING")
    if text:
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
