"""What the doors of operators share: who calls and what it may do, bodies in, answers out, one effect for each call.

An operator's key has scopes, and so many changes a minute. A call that changes something may carry an
`Idempotency-Key`; the answer is then written in the transaction of the change.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from auction.api.bodies import Bodies
from auction.api.changes import Changes, Work
from auction.api.listing import MOST_VALUES
from auction.api.wire import JSON_TYPE, encode_json, headers_of, key_of, read_object, too_deep
from auction.catalogue.json_source import is_deeper
from auction.catalogue.yaml_source import MOST_NESTED
from auction.changes.administration import Administration
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Header, Reply
from auction.market.model import Admin, Scope

MOST_BODY_BYTES: Final = 1024 * 1024
"""An operator's body may be longer than a lead: a campaign has hundreds of fields."""
MOST_QUERY: Final = 2 * MOST_VALUES
"""Parameters of a list."""


class Calls:
    """Takes the calls of operators in and answers them."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        self.exchange = exchange
        self.bodies = bodies
        self._changes = Changes(lambda: self.administration, exchange.admin_rate)

    @property
    def administration(self) -> Administration:
        """What does the work."""
        return self.exchange.administration

    def admin(self, request: Request, scope: Scope) -> Admin:
        """Who calls. Raises `SellerError`: 401 for no key of an operator, 403 where it may not do this."""
        admin = self.exchange.admin_of(key_of(headers_of(request.scope)))
        if scope not in admin.scopes:
            raise out_of_scope(scope, admin)
        return admin

    async def body(self, request: Request) -> dict[str, Any]:
        """The JSON object of a call. Raises `SellerError` 400, 413, 415, 422."""
        headers = headers_of(request.scope)
        raw = await self.bodies.read(headers.get(b"content-length"), request.receive, MOST_BODY_BYTES)
        data = read_object(raw, headers.get(b"content-type"))
        if is_deeper(data, MOST_NESTED):
            raise too_deep()
        return data

    async def once(self, request: Request, admin: Admin, data: dict[str, Any], work: Work) -> Response:
        """The answer of `work`; of a call that was made before with this `Idempotency-Key`, the one it got then.

        Raises `SellerError` 429 for one change too many.
        """
        return await self._changes.once(request, who(admin), data, work)

    async def admit(self, request: Request, admin: Admin) -> tuple[Header, ...]:
        """The headers of a change that is made without `once`. Raises `SellerError` 429."""
        return await self._changes.admit(request, who(admin))


def query_of(request: Request) -> list[tuple[str, str]]:
    """The parameters of a list, in their order. Raises `SellerError` 400."""
    raw: bytes = request.scope["query_string"]
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_QUERY, errors="strict"
        )
    except ValueError:
        raise SellerError(400, "bad_query", "The query is not URL-encoded, or too long.") from None


def who(admin: Admin) -> str:
    """An operator as the audit and the kept answers name it."""
    return f"admin:{admin.id}"


def out_of_scope(scope: Scope, admin: Admin) -> SellerError:
    """403."""
    has = ", ".join(admin.scopes) or "none"
    return SellerError(
        403, "not_in_your_scope", f"This needs the scope {scope}; your key has these scopes: {has}."
    )


def bad_fields(mistakes: list[FieldMistake]) -> SellerError:
    """422."""
    return SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)


def reply(answer: object, status: int = 200, *headers: Header) -> Reply:
    """An answer in JSON that can be kept."""
    return Reply(status, encode_json(answer), (JSON_TYPE, *headers))
