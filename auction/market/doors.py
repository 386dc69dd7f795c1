"""How a campaign is spoken of at the doors of other APIs: its name there, and their names for its fields.

A door takes the names its document gives (`firstName`, `flo_campaign_id`); what they mean here is said in the
catalogue, so a door has no rules of its own.
"""

from __future__ import annotations

import msgspec

from auction.market.entry import Entry, FieldName, Id

DISTRO_NEEDED = ("first_name", "last_name", "phone", "email")
DISTRO_OPTIONAL = ("state",)
"""What the lead distribution API calls its system fields; a lead has all that are needed."""


class DoorNames(Entry, frozen=True, kw_only=True):
    """A campaign at one door. `name` is what it is called there (its own id, if nothing is said); `fields` maps the
    door's names to the campaign's. A name that is not mapped means the campaign's field of that name.
    """

    name: str | None = None
    fields: dict[str, FieldName] = msgspec.field(default_factory=dict)


class RouterDoor(DoorNames, frozen=True, kw_only=True):
    """The door of the lead routing API (`/api.php`). `keyless` is the seller whose leads those are that come without
    a key: web forms have none to keep. Without it, a key is asked for.
    """

    keyless: Id | None = None


class Doors(Entry, frozen=True, kw_only=True):
    """At which of the other doors a campaign's leads are taken, and by which names."""

    router: RouterDoor | None = None
    distro: DoorNames | None = None
    leads: DoorNames | None = None
