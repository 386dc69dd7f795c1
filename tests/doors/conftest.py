"""Houses for the tests of the doors of other APIs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doors.distro import CAMPAIGN, MANNERS, ORDERS, OTHER, SUPPLIER, Open
from tests.house import House


@pytest.fixture
async def open_distro(open_sqlite_house: Open) -> Open:
    """Opens a house with the document's campaign and supplier."""

    async def opened(orders: list[dict[str, Any]] | None = None, **changes: Any) -> House:
        campaign = {**CAMPAIGN, **changes.pop("campaign", {})}
        manners = {**MANNERS, **changes.pop("manners", {})}
        house: House = await open_sqlite_house(
            orders or ORDERS, manners, campaign=campaign, sellers=[SUPPLIER, OTHER], **changes
        )
        return house

    return opened
