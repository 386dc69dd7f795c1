"""Browsers' scripts: from which origins they may speak to the sellers' doors (CORS).

Off unless the operator names origins (`AUCTION_ALLOW_ORIGINS`): a key in a page is seen by whoever looks at the page,
so whose pages may send is the operator's to say. No cookies and no other credentials of a browser are ever asked for; a
key comes in its header as always. What is allowed is Starlette's to work out; here is only where. It stands in front
of the application, and where nothing is allowed it is not there at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from auction.errors import OperatorError

if TYPE_CHECKING:
    from auction.api.app import App

ANY: Final = "*"
MOST_ORIGINS: Final = 1_000
MAX_AGE_S: Final = 7_200
"""So long a browser need not ask again; none keeps it for longer."""
DOORS: Final = frozenset(
    ("/ping", "/post", "/direct", "/api.php", "/api/leads", "/api/v1/ping", "/api/v1/ingest")
)
"""The sellers' doors; and below, what they ask of their own."""
_OWN: Final = ("/leads/", "/pings/")
_ALLOWED_HEADERS: Final = ("authorization", "content-type", "idempotency-key", "x-api-key")
_SHOWN_HEADERS: Final = (
    *("idempotent-replayed", "retry-after", "server-timing"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


def read_origins(text: str) -> tuple[str, ...]:
    """The origins of a setting, commas between them; `*` is any.

    Raises `OperatorError` for what no browser calls an origin.
    """
    origins = tuple(dict.fromkeys(one.strip().lower() for one in text.split(",") if one.strip()))
    wrong = [one for one in origins if one != ANY and not _ORIGIN.fullmatch(one)]
    if wrong or len(origins) > MOST_ORIGINS:
        raise OperatorError(
            "bad_origins",
            f"expected up to {MOST_ORIGINS:,} origins such as https://forms.example, commas between them, or *"
            + (f"; was {wrong[0][:100]!r}" if wrong else ""),
        )
    return (ANY,) if ANY in origins else origins


def behind_origins(app: App, allowed: str) -> ASGIApp:
    """The application, open to scripts from these origins; itself where there are none."""
    origins = read_origins(allowed)
    return Origins(app, origins) if origins else app


class Origins:
    """Answers browsers that ask first, and says in each answer to an allowed origin that its script may read it."""

    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=_SHOWN_HEADERS,
            max_age=MAX_AGE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _is_sellers(scope["path"]):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            send = self._app.traffic.watched(scope["path"], send)  # it does not come to the application
        await self._cors(scope, receive, send)


def _is_sellers(path: str) -> bool:
    return path in DOORS or path.startswith(_OWN)
