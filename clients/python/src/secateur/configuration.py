"""Where the server is and who asks: arguments, else environment variables, else what a server on this machine has by default."""

from __future__ import annotations

import os
from dataclasses import dataclass

import httpx

from . import errors
from .flow import Request

DEFAULT_URL = "http://127.0.0.1:8080"

#: Seconds to connect, and seconds without a byte after which a request counts as lost.
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0


@dataclass(frozen=True)
class Configuration:
    """The server and the key of a client."""

    url: str
    key: str | None

    @classmethod
    def of(cls, url: str | None, key: str | None) -> Configuration:
        """From arguments, or from ``SECATEUR_URL`` and ``SECATEUR_KEY`` in the environment.

        Raises:
            UsageError: The URL is none of `http` or `https`.
        """
        url = url or os.environ.get("SECATEUR_URL") or DEFAULT_URL
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise errors.UsageError(f"`{url}` is not the URL of a server: it must begin with `http://` or `https://`")
        return cls(url.rstrip("/"), key or os.environ.get("SECATEUR_KEY") or None)

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        from . import __version__

        headers = {"user-agent": f"secateur-python/{__version__}"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        return headers

    def build(self, request: Request, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request as httpx sends it."""
        timeout = httpx.Timeout(request.read_timeout or _READ_SECONDS, connect=_CONNECT_SECONDS)
        return client.build_request(
            request.method,
            self.url + request.path,
            headers={**self.headers(), **request.headers},
            params=request.params or None,
            json=request.json,
            content=request.content,
            timeout=timeout,
        )
