"""Who is told what, where: compiled from the catalogue; a secret that is not there is told, not raised."""

from __future__ import annotations

from auction.market.model import Catalogue, Postback, Seller
from auction.postbacks.endpoints import Endpoints, endpoint_id, urls_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CATALOGUE = Catalogue(
    sellers=(
        Seller(
            id="acme",
            postbacks=(
                Postback(url="https://T.example/{lead_id}", statuses=("sold", "returned")),
                Postback(url="https://t.example:444/hook", secret="env:HOOK"),
            ),
        ),
        Seller(id="globex", postbacks=(Postback(url="https://t.example/hook", secret=SECRET),)),
        Seller(id="quiet"),
    )
)


def test_a_seller_is_told_what_it_wants() -> None:
    endpoints = Endpoints(7, CATALOGUE, {"HOOK": SECRET})
    first, second = endpoints.told("acme", "sold")
    assert endpoints.told("acme", "pending") == [second]
    assert endpoints.told("quiet", "sold") == endpoints.told("nobody", "sold") == []
    assert endpoints.by_id[first].host == "https://t.example"
    assert endpoints.by_id[first].signer is None
    assert endpoints.by_id[second].host == "https://t.example:444"
    assert endpoints.by_id[second].signer is not None
    assert (endpoints.faults, endpoints.version) == ([], 7)


def test_a_secret_that_is_not_set_is_a_fault_of_its_endpoint_alone() -> None:
    endpoints = Endpoints(1, CATALOGUE, {})
    (fault,) = endpoints.faults
    _, hook = endpoints.told("acme", "sold")
    assert fault.startswith(f"{hook}: the environment variable HOOK is not set")
    assert endpoints.by_id[hook].signed
    assert endpoints.by_id[hook].signer is None


def test_another_url_is_another_endpoint_and_another_sellers_too() -> None:
    names = {endpoint_id(seller, url) for seller in ("a", "b") for url in ("https://x/1", "https://x/2")}
    assert len(names) == 4


def test_an_endpoint_is_shown_without_its_query() -> None:
    seller = Seller(id="acme", postbacks=(Postback(url="https://t.example/p?key=hush&id={lead_id}"),))
    (endpoint,) = Endpoints(1, Catalogue(sellers=(seller,)), {}).by_id.values()
    assert endpoint.shown == urls_of(seller)[endpoint.id] == "https://t.example/p"
