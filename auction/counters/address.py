"""Where a server is: `redis://`, `rediss://` and `unix://` addresses, as every Redis client writes them."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from auction.errors import OperatorError

_FORMS = "redis://[user:password@]host[:port][/db], rediss://… or unix://[user:password@]/path[?db=N]"


class Address(msgspec.Struct, frozen=True):
    """One server. `path` is a unix socket; without it `host` and `port` are TCP, under TLS if `tls`."""

    host: str = ""
    port: int = 6379
    path: str | None = None
    tls: bool = False
    user: str | None = None
    password: str | None = None
    db: int = 0

    def __str__(self) -> str:
        """For people and logs: never the password."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """Raises `OperatorError` with the forms that are understood."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        if parts.scheme == "unix":
            db = int(parse_qs(parts.query).get("db", ["0"])[0])
        else:
            db = int(parts.path.strip("/") or 0)
    except ValueError:
        raise _not_understood() from None
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise _not_understood()
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        return Address(path=unquote(parts.path), user=user, password=password, db=db)
    return Address(
        host=parts.hostname or "localhost",
        port=port,
        tls=parts.scheme == "rediss",
        user=user,
        password=password,
        db=db,
    )


def _not_understood() -> OperatorError:
    # the URL itself is not shown: it may hold a password
    return OperatorError("bad_redis_url", f"the Redis URL is not one of {_FORMS}")
