"""Where a server is: `redis://`, `rediss://` and `unix://` addresses, as every Redis client writes them; and
`redis+sentinel://` for a primary that moves, whose sentinels know where it is."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from auction.errors import OperatorError

_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://…, unix://[user:password@]/path[?db=N] or "
    "redis+sentinel://[user:password@]host[:port][,host[:port]…]/NAME[/db][?sentinel_password=…]"
)
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_PORT, _SENTINEL_PORT = 6379, 26379


class Watched(msgspec.Struct, frozen=True):
    """A primary by the `name` under which these sentinels, each a host and a port, watch it."""

    name: str
    sentinels: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str | None = None


class Address(msgspec.Struct, frozen=True):
    """One server. `path` is a unix socket; without it `host` and `port` are TCP, under TLS if `tls`.

    Where the primary is `watched`, its host and port are the sentinels' to say.
    """

    host: str = ""
    port: int = _PORT
    path: str | None = None
    tls: bool = False
    user: str | None = None
    password: str | None = None
    db: int = 0
    watched: Watched | None = None

    def __str__(self) -> str:
        """For people and logs: never the password."""
        if self.path is not None:
            return self.path
        return (
            f"{self.host}:{self.port}" if self.host else f"the primary {self.watched and self.watched.name}"
        )


def parse(url: str) -> Address:
    """Raises `OperatorError` with the forms that are understood."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise _not_understood()
        if parts.scheme.endswith("+sentinel"):
            return _watched(parts)
        query = parse_qs(parts.query)
        user, password = _who(parts.username, parts.password)
        if parts.scheme == "unix":
            if not parts.path:
                raise _not_understood()
            db = int(query.get("db", ["0"])[0])
            return Address(path=unquote(parts.path), user=user, password=password, db=db)
        if not parts.hostname:
            raise _not_understood()
        return Address(
            host=parts.hostname,
            port=parts.port or _PORT,
            tls=parts.scheme == "rediss",
            user=user,
            password=password,
            db=int(parts.path.strip("/") or 0),
        )
    except ValueError:
        raise _not_understood() from None


def _watched(parts: SplitResult) -> Address:
    """The sentinels stand where a host would: `urlsplit` knows no list of hosts."""
    who, _, hosts = parts.netloc.rpartition("@")
    user, password = _who(*(who.partition(":")[::2] if who else ("", "")))
    sentinels = [urlsplit(f"//{host}") for host in hosts.split(",")]
    name, _, db = parts.path.strip("/").partition("/")
    if not name or not all(each.hostname for each in sentinels):
        raise _not_understood()
    query = parse_qs(parts.query)
    return Address(
        port=0,
        tls=parts.scheme == "rediss+sentinel",
        user=user,
        password=password,
        db=int(db or 0),
        watched=Watched(
            unquote(name),
            tuple((each.hostname or "", each.port or _SENTINEL_PORT) for each in sentinels),
            query.get("sentinel_user", [None])[0],
            query.get("sentinel_password", [None])[0],
        ),
    )


def _who(user: str | None, password: str | None) -> tuple[str | None, str | None]:
    return unquote(user) if user else None, unquote(password) if password else None


def _not_understood() -> OperatorError:
    # the URL itself is not shown: it may hold a password
    return OperatorError("bad_redis_url", f"the Redis URL is not one of {_FORMS}")
