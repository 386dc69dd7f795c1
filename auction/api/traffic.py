"""What came in by the doors and what it was told: for `/metrics`.

Whatever stands in front of the doors counts here (`answered`, `broke`); what it turns away before there is a request
belongs into `families` as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Send

from auction import log
from auction.api.bodies import Bodies
from auction.tally import Family, Labels, counter, counts, plain_counter

OTHER = "other"
DOORS: Mapping[str, str] = {
    f"/{door}": door
    for door in (
        *("ping", "post", "direct", "leads", "pings", "admin", "postback", "api.php", "api/leads"),
        *("api/v1/ping", "api/v1/ingest"),
        *("lead-routes", "teams", "campaigns", "lead-sources", "contact-sources"),
        *("healthz", "readyz", "metrics", "openapi.json", "docs"),
    )
}
"""The doors by the first part of their path: what strangers make up is counted as one."""
_CLASSES = {number: f"{number}xx" for number in range(1, 6)}


class Traffic:
    """Responses by door and class of status; `bugs`: requests that failed as none should."""

    def __init__(self) -> None:
        self.responses = counts()  # (door, 2xx)
        self.bugs = 0

    def broke(self, path: str) -> None:
        """A request failed as none should: counted, and logged with its traceback. Call it in an `except` block.

        Of the path its door is logged: the rest is the sender's, and may name anybody.
        """
        self.bugs += 1
        door = door_of(path)
        log.bug("request_failed", path="(none)" if door == OTHER else f"/{door}")

    def answered(self, path: str, status: int) -> None:
        """One response."""
        self.responses[door_of(path), _CLASSES.get(status // 100, OTHER)] += 1

    def watched(self, path: str, send: Send) -> Send:
        """`send`, counting what it sends: for doors that answer by themselves."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answered(path, message["status"])
            await send(message)

        return counting


def door_of(path: str) -> str:
    """The door of a path, as it is counted."""
    known = DOORS.get(path)
    return known if known is not None else DOORS.get("/" + path[1:].partition("/")[0], OTHER)


def families(traffic: Traffic, bodies: Bodies) -> list[Family]:
    """All that is known of the HTTP side of this worker."""
    responses = {labels: float(value) for labels, value in traffic.responses.items()}
    turned_away: dict[Labels, float] = {
        ("too_large",): float(bodies.too_large),
        ("cut_off",): float(bodies.cut_off),
    }
    return [
        counter(
            "auction_http_responses", "Responses by door and class of status", ("door", "status"), responses
        ),
        counter(
            "auction_http_bodies_refused", "Bodies turned away before they were read", ("why",), turned_away
        ),
        plain_counter("auction_bugs", "Requests that failed as none should; the log has each", traffic.bugs),
    ]
