"""Scripts in browsers: which origins may speak to the sellers' doors, and that nothing is there where none may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from auction.api.app import App
from auction.api.origins import DOORS, behind_origins, read_origins
from auction.cli.options import settings_of
from auction.errors import OperatorError
from tests.api.conftest import OpenDoors
from tests.house import KEY, PING, House

FORMS, OTHER = "https://forms.example", "https://other.example"
Answer = tuple[int, Mapping[str, str], Any]


async def send(house: House, method: str, path: str, origin: str | None, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if origin is not None:
        sent["origin"] = origin
    body = PING if method == "POST" else None
    async with aiohttp.request(method, house.url + path, json=body, headers=sent) as answer:
        return answer.status, answer.headers.copy(), await answer.text()


async def ask_first(
    house: House, path: str, origin: str, wants: str = "authorization, content-type"
) -> Answer:
    """What a browser asks before it sends."""
    asks = {"access_control_request_method": "POST", "access_control_request_headers": wants}
    return await send(house, "OPTIONS", path, origin, **asks)


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    return await open_doors(settings={"allow_origins": f"{FORMS}, http://localhost:5173"})


@pytest.mark.parametrize("path", [*sorted(DOORS), "/leads/x", "/pings/x"])
async def test_an_allowed_origin_may_send(house: House, path: str) -> None:
    status, headers, _ = await ask_first(house, path, FORMS, "x-api-key, idempotency-key, content-type")
    assert (status, headers["access-control-allow-origin"]) == (200, FORMS)
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-max-age"] == "7200"
    assert "access-control-allow-credentials" not in headers
    assert sum(house.app.traffic.responses.values()) == 1


async def test_its_script_may_read_the_answer_also_of_an_error(house: House) -> None:
    status, headers, _ = await send(house, "POST", "/ping", FORMS, x_api_key=KEY)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, FORMS, "Origin")
    shown = headers["access-control-expose-headers"]
    assert all(name in shown for name in ("retry-after", "x-ratelimit-remaining", "server-timing"))
    status, headers, _ = await send(house, "POST", "/api/leads", FORMS)
    assert (status, headers["access-control-allow-origin"]) == (401, FORMS)
    status, headers, _ = await send(house, "GET", "/leads/none", FORMS, x_api_key=KEY)
    assert (status, headers["access-control-allow-origin"]) == (404, FORMS)
    assert house.app.traffic.responses["ping", "2xx"] == 1


async def test_others_and_other_doors_are_told_nothing(house: House) -> None:
    status, headers, _ = await ask_first(house, "/ping", OTHER)
    assert (status, "access-control-allow-origin" in headers) == (400, False)
    assert "access-control-allow-origin" not in (await send(house, "POST", "/ping", OTHER, x_api_key=KEY))[1]
    assert "access-control-allow-origin" not in (await send(house, "POST", "/ping", None, x_api_key=KEY))[1]
    status, headers, _ = await ask_first(house, "/ping", FORMS, "x-other")
    assert status == 400
    for path in ("/admin/leads", "/lead-routes", "/postback", "/metrics", "/leadsX"):
        status, headers, _ = await ask_first(house, path, FORMS)
        assert (status in (404, 405), "access-control-allow-origin" in headers) == (True, False), path
    status, headers, _ = await send(house, "OPTIONS", "/ping", FORMS)  # it does not ask before it sends
    assert (status, headers["allow"]) == (405, "POST")


async def test_any_origin(open_doors: OpenDoors) -> None:
    house = await open_doors(settings={"allow_origins": "*"})
    status, headers, _ = await send(house, "POST", "/ping", OTHER, x_api_key=KEY)
    assert (status, headers["access-control-allow-origin"]) == (200, "*")


async def test_where_none_is_allowed_nothing_stands_in_front(open_doors: OpenDoors) -> None:
    house = await open_doors()
    status, headers, _ = await ask_first(house, "/ping", FORMS)
    assert (status, headers["allow"]) == (405, "POST")
    _, headers, _ = await send(house, "POST", "/ping", FORMS, x_api_key=KEY)
    assert not [name for name in headers if name.lower().startswith("access-control")]
    app: App = house.app
    assert behind_origins(app, "") is app


def test_origins_are_read_as_browsers_write_them() -> None:
    assert read_origins(" https://A.example,https://a.example , http://[::1]:80 ") == (
        "https://a.example",
        "http://[::1]:80",
    )
    assert read_origins("https://a.example,*") == ("*",)
    for wrong in (
        "a.example",
        "https://a.example/",
        "https://a.example/p",
        "https://*.a.example",
        "null",
        "ftp://a",
    ):
        with pytest.raises(OperatorError) as caught:
            read_origins(wrong)
        assert f"was {wrong!r}" in caught.value.detail
    with pytest.raises(OperatorError):
        read_origins(",".join(f"https://a{at}.example" for at in range(1_001)))


def test_the_setting_is_checked_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUCTION_ALLOW_ORIGINS", "https://forms.example/")
    with pytest.raises(OperatorError) as caught:
        settings_of()
    assert caught.value.detail.startswith("AUCTION_ALLOW_ORIGINS: expected up to 1,000 origins such as ")
    monkeypatch.setenv("AUCTION_ALLOW_ORIGINS", FORMS)
    assert settings_of().allow_origins == FORMS
