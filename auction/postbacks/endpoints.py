"""Where sellers are told, compiled once a market: who is told what, at which URL, signed with what."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

import msgspec

from auction.buyers.signing import Signer, resolve_secret
from auction.errors import OperatorError
from auction.market.macros import UrlTemplate
from auction.market.model import Catalogue, Postback, Seller


class Endpoint(msgspec.Struct, frozen=True):
    """One URL of one seller. `host` (with the scheme and port) is whom we call, and shares its limits with all others
    there; `shown` is the URL without its query; `signer` is None where it is a GET; `fault` says why its secret
    cannot be had."""

    id: str
    seller: str
    host: str
    shown: str
    url: UrlTemplate
    statuses: frozenset[str]
    signer: Signer | None
    signed: bool
    fault: str | None = None

    def wants(self, status: str) -> bool:
        """Whether it is told when a lead comes to this status."""
        return not self.statuses or status in self.statuses


class Endpoints:
    """All endpoints of one version of the catalogue."""

    def __init__(self, version: int, catalogue: Catalogue, environ: Mapping[str, str]) -> None:
        self.version = version
        self.by_id: dict[str, Endpoint] = {}
        self._of_seller: dict[str, list[Endpoint]] = {}
        for seller in catalogue.sellers:
            found = [_endpoint(seller, postback, environ) for postback in seller.postbacks]
            self._of_seller[seller.id] = found
            self.by_id.update((endpoint.id, endpoint) for endpoint in found)

    def told(self, seller: str, status: str) -> list[str]:
        """The endpoints that are told when a lead of this seller comes to this status."""
        return [endpoint.id for endpoint in self._of_seller.get(seller, ()) if endpoint.wants(status)]

    @property
    def faults(self) -> list[str]:
        """Why some cannot be told, a sentence each."""
        return [
            f"{endpoint.id}: {endpoint.fault}"
            for endpoint in self.by_id.values()
            if endpoint.fault is not None
        ]


def endpoint_id(seller: str, url: str) -> str:
    """The name of a seller's URL: another URL is another endpoint."""
    return f"{seller}:{sha256(url.encode()).hexdigest()[:12]}"


def urls_of(seller: Seller) -> dict[str, str]:
    """The URLs of a seller's endpoints as they are shown, by the endpoints' names."""
    return {endpoint_id(seller.id, one.url): _shown(one.url) for one in seller.postbacks}


def _shown(url: str) -> str:
    return url.partition("?")[0]


def _endpoint(seller: Seller, postback: Postback, environ: Mapping[str, str]) -> Endpoint:
    signer, fault = None, None
    if postback.secret is not None:
        try:
            signer = Signer(resolve_secret(postback.secret, environ))
        except OperatorError as error:
            fault = error.detail
    url = UrlTemplate.from_text(postback.url)
    parts = urlsplit(url.sample)
    return Endpoint(
        id=endpoint_id(seller.id, postback.url),
        seller=seller.id,
        host=f"{parts.scheme}://{parts.netloc.lower()}",
        shown=_shown(postback.url),
        url=url,
        statuses=frozenset(postback.statuses),
        signer=signer,
        signed=postback.secret is not None,
        fault=fault,
    )
