"""`/admin/{sellers|buyers|admins}/{id}/keys`: API keys made, listed as their hashes, and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.admin.calls import Calls, reply, who
from auction.api.admin.entries import id_in, unknown_entry, within_scopes
from auction.api.changes import response
from auction.catalogue.documents import from_document
from auction.changes.administration import hash_of, new_key
from auction.errors import OperatorError, SellerError
from auction.idempotency import Owned, Reply
from auction.ledger.catalogue_store import ApiKey, add_key, document_of, keys_of, revoke_key
from auction.market.entry import KeyKind
from auction.market.model import Admin, Buyer, Seller
from auction.ping.offer import iso_utc

HOLDERS: Final[dict[str, KeyKind]] = {"sellers": "seller", "buyers": "buyer", "admins": "admin"}
Holder = Seller | Buyer | Admin


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was made: this is the only time that it is shown. Known to the whole house within a second."""

    key: str
    hash: str
    version: int


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its hash. One that stands in the catalogue itself is taken out there."""

    hash: str
    in_catalogue: bool
    made_at: str | None = None
    revoked_at: str | None = None


class Keys(msgspec.Struct, frozen=True):
    """All keys that somebody has and had."""

    total: int
    data: Sequence[KeyLine]


class Version(msgspec.Struct, frozen=True):
    """The version of the catalogue that a change made."""

    version: int


class KeysDoor:
    """Makes, lists and takes back keys."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        found = []
        for section in HOLDERS:
            path = f"/admin/{section}/{{id}}/keys"
            found.append(Route(path, self.keys, methods=["GET", "POST"], name=section))
            found.append(Route(f"{path}/{{hash}}", self.revoke, methods=["DELETE"], name=section))
        return found

    async def keys(self, request: Request) -> Response:
        """The keys of one holder; or a new one."""
        kind, id_ = _holder(request)
        if request.method == "POST":
            return await self._make(request, kind, id_)
        self._calls.admin(request, "catalogue:read")

        def read(conn: Connection) -> tuple[Holder, list[ApiKey]]:
            return _holder_of(conn, kind, id_), keys_of(conn, kind, id_)

        holder, made = await self._calls.exchange.reader.read(read)
        lines = [KeyLine(hash=one, in_catalogue=True) for one in holder.keys] + list(map(_line, made))
        return response(reply(Keys(len(lines), lines)))

    async def revoke(self, request: Request) -> Response:
        """Take a key back for good."""
        admin = self._calls.admin(request, "catalogue:write")
        kind, id_ = _holder(request)
        key_hash: str = request.path_params["hash"]

        async def work(owned: Owned | None) -> Reply:
            def step(conn: Connection) -> Reply:
                holder = _holder_of(conn, kind, id_)
                within_scopes(admin, holder)
                if key_hash in holder.keys:
                    raise SellerError(
                        409, "key_in_catalogue", "This key stands in the entry itself: change its `keys`."
                    )
                if all(key_hash != one.hash for one in keys_of(conn, kind, id_)):
                    raise SellerError(404, "no_such_key", f"The {kind} has no such key.")
                version = revoke_key(conn, key_hash, self._now_ms(), who(admin))
                return _kept(reply(Version(version)), conn, owned)

            return await self._calls.administration.write("revoke_key", step)

        return await self._calls.once(request, admin, {}, work)

    async def _make(self, request: Request, kind: KeyKind, id_: str) -> Response:
        admin = self._calls.admin(request, "catalogue:write")

        async def work(owned: Owned | None) -> Reply:
            key = new_key()

            def step(conn: Connection) -> Reply:
                within_scopes(admin, _holder_of(conn, kind, id_))
                try:
                    version = add_key(conn, kind, id_, hash_of(key), self._now_ms(), who(admin))
                except OperatorError as error:  # somebody has this key: as likely as to guess one
                    raise SellerError(409, error.code, error.detail) from None
                return _kept(reply(MadeKey(key=key, hash=hash_of(key), version=version), 201), conn, owned)

            return await self._calls.administration.write("add_key", step)

        return await self._calls.once(request, admin, {}, work)

    def _now_ms(self) -> int:
        return self._calls.exchange.clock.now_ms()


def _kept(answer: Reply, conn: Connection, owned: Owned | None) -> Reply:
    if owned is not None:
        owned.keep(conn, answer)
    return answer


def _holder(request: Request) -> tuple[KeyKind, str]:
    kind = HOLDERS[request.scope["path"].split("/")[2]]
    return kind, id_in(request, kind)


def _holder_of(conn: Connection, kind: KeyKind, id_: str) -> Holder:
    """Raises `SellerError` 404."""
    document = document_of(conn, kind, id_)
    if document is None:
        raise unknown_entry(kind, id_)
    holder = from_document(kind, document)
    assert isinstance(holder, Holder)
    return holder


def _line(key: ApiKey) -> KeyLine:
    return KeyLine(
        hash=key.hash,
        in_catalogue=False,
        made_at=iso_utc(key.created_at_ms),
        revoked_at=None if key.revoked_at_ms is None else iso_utc(key.revoked_at_ms),
    )
