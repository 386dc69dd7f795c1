"""What is traded: the entities of the catalogue, as an operator writes them.

Each struct is one entry of a catalogue file, and one JSON document in the ledger. Names in files are the
operator's (`floor: 5.00`, `tmax_ms: 500`); names in code carry their unit (`floor_micros`). What a struct
cannot say by its types (a filter's operands, an order's buyer, a time zone's name) is checked by
`catalogue.check`, which names every mistake at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from auction.market.doors import Doors
from auction.market.entry import Entry, FieldName, Id, KeyHash, Number, RateText
from auction.market.money import Budget, Micros
from auction.market.routes import LeadRoute, RoutedBy, Source, Team

FieldType = Literal[
    "text", "integer", "number", "boolean", "choice", "date", "us_state", "us_zip", "phone", "email", "url"
]
FieldValue = str | int | float | bool
"""A normalised value. Dates are ISO text (they order as text); phones are E.164 text."""
Per = Literal["second", "minute", "hour", "day", "week", "month", "total"]
"""The windows of caps, small to large. By the second and by the minute only pings are limited."""
Mode = Literal["exclusive", "shared", "hybrid"]
Chosen = Annotated[tuple[Id, ...], Meta(min_length=1)]
"""Some of all there are. Left out it is all of them; an empty list would look as if it were none, and is refused."""


class FieldSpec(Entry, frozen=True, kw_only=True):
    """One field of a campaign's leads.

    `required` says from which step on it must be there. A field goes to bidding buyers only if it is required
    at ping or marked `ping: true`; `pii: true` keeps it out of every ping, whatever else is said (P7).
    `ping_as: hash` lets a field that names a person go to them as a hash that is each buyer's own (`hashing`).
    """

    name: FieldName
    type: FieldType
    required: Literal["ping", "post", "no"] = "no"
    ping: bool = False
    pii: bool = False
    ping_as: Literal["hash"] | None = None
    min: int | float | str | None = None
    max: int | float | str | None = None
    max_length: Annotated[int, Meta(ge=1, le=4096)] | None = None
    choices: tuple[str, ...] = ()

    @property
    def in_ping(self) -> bool:
        """Whether a ping may carry this field, from the seller and to the buyers."""
        return (self.ping or self.required == "ping") and not self.pii

    @property
    def hashed_in_ping(self) -> bool:
        """Whether a ping may carry a hash of this field."""
        return self.ping_as == "hash" and not self.in_ping


class AuctionRules(Entry, frozen=True, kw_only=True):
    """How a campaign's auctions are held.

    `patience`: a buyer is waited for as long as its `timeout_ms` says, or (`adaptive`) as long as it usually needs.
    """

    mode: Mode = "exclusive"
    max_buyers: Annotated[int, Meta(ge=1, le=20)] = 1
    tmax_ms: Annotated[int, Meta(ge=10, le=60_000)] = 500
    floor_micros: Micros = field(default=Micros(0), name="floor")
    pays: Literal["first", "second"] = "first"
    select: Literal["price", "weight", "turn"] = "price"
    hold_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    patience: Literal["declared", "adaptive"] = "declared"
    on_reject: Literal["next", "stop"] = "next"
    on_mismatch: Literal["reject", "auction"] = "reject"
    max_asks: Annotated[int, Meta(ge=1, le=1_000)] = 100


class DuplicateRules(Entry, frozen=True, kw_only=True):
    """A lead whose `fields` all equal those of a lead sold in the last `days` is a duplicate."""

    fields: tuple[str, ...]
    days: Annotated[int, Meta(ge=1, le=3_650)]


class Campaign(Entry, frozen=True, kw_only=True):
    """A kind of lead: its fields, its auction rules, its duplicate rules.

    `filter` is the inbound one: a ping that it does not let through is offered to nobody. `pending_hours` is how long
    a lead that came by a door with no second ping is tried again where no buyer is there yet. `doors` says how the
    campaign is spoken of at other APIs' doors, `routed_by` which fields lead routes look at, `number` what those call
    it that know numbers.
    """

    id: Id
    name: str = ""
    fields: tuple[FieldSpec, ...]
    auction: AuctionRules = AuctionRules()
    filter: dict[str, Any] | None = None
    duplicates: DuplicateRules | None = None
    unknown_fields: Literal["reject", "ignore"] = "reject"
    pending_hours: Annotated[int, Meta(ge=1, le=720)] | None = None
    doors: Doors = Doors()
    routed_by: RoutedBy | None = None
    number: Number | None = None


class Cap(Entry, frozen=True, kw_only=True):
    """A limit in a window, in the order's (or buyer's) time zone: on leads, on spend, or on pings.

    A cap on pings by the second or the minute is what its buyer calls a ping budget.
    """

    per: Per
    leads: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    spend_micros: Budget | None = field(default=None, name="spend")
    pings: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] | None = None


class Postback(Entry, frozen=True, kw_only=True):
    """Where a seller is told what became of its leads.

    With a `secret` (`whsec_...`, or `env:NAME`) by signed JSON, as Standard Webhooks has it. Without one by `GET` of
    the URL, in which macros such as `{lead_id}` and `{status}` are filled in. `statuses` empty means all.
    """

    url: str
    secret: str | None = None
    statuses: tuple[Literal["sold", "rejected", "pending", "delivered", "converted", "returned"], ...] = ()


class Seller(Entry, frozen=True, kw_only=True):
    """Who offers leads. `keys` are `sha256:` hashes; `margin` is `20%` or an amount; `rate_limit` `60/minute`.

    Posts are counted by themselves: up to `post_rate_limit`, or as many as pings where there is none. `code` never
    changes; `slug` may (it is the id where none is given).
    """

    id: Id
    name: str = ""
    code: Annotated[str, Meta(pattern=r"^[A-Z0-9]{8}\Z")] | None = None
    slug: Id | None = None
    keys: tuple[KeyHash, ...] = ()
    campaigns: Chosen = ()
    margin: str | int | float = "0%"
    rate_limit: RateText | None = None
    post_rate_limit: RateText | None = None
    postbacks: tuple[Postback, ...] = ()
    paused: bool = False


class Buyer(Entry, frozen=True, kw_only=True):
    """Who bids and receives leads.

    A value of `headers`, and `signing_secret`, may be `env:NAME`: then the secret stays out of the catalogue.
    `idempotent: true` promises that the buyer takes a repeated `Idempotency-Key` for the same lead. `keys` are
    `sha256:` hashes of the keys with which the buyer itself calls: for its lead routes, and for its postbacks, which
    it may sign with its `signing_secret` instead.
    """

    id: Id
    name: str = ""
    ping_url: str | None = None
    post_url: str | None = None
    keys: tuple[KeyHash, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    signing_secret: str | None = None
    ca_file: str | None = None
    timeout_ms: Annotated[int, Meta(ge=5, le=60_000)] = 300
    post_timeout_ms: Annotated[int, Meta(ge=50, le=120_000)] = 5_000
    idempotent: bool = False
    caps: tuple[Cap, ...] = ()
    timezone: str | None = None
    paused: bool = False


class Price(Entry, frozen=True, kw_only=True):
    """`{fixed: 25.00}`, or `{live: true, max: 80.00}`: the buyer is asked, and promises to bid at most `max`."""

    fixed_micros: Micros | None = field(default=None, name="fixed")
    live: bool = False
    max_micros: Micros | None = field(default=None, name="max")


class Returns(Entry, frozen=True, kw_only=True):
    """What a buyer may give back: leads bought in the last `days`, at most `share` of those bought in as many days.
    `frees_cap`: the place of a returned lead in the caps is free again.
    """

    days: Annotated[int, Meta(ge=1, le=365)]
    share: Annotated[str, Meta(pattern=r"^(100|[1-9]?[0-9])%\Z")] = "100%"
    frees_cap: bool = False


class Order(Entry, frozen=True, kw_only=True):
    """A buyer's standing terms in one campaign.

    `filter` stays as written (see `filters.parse`). `tier` 1 is asked first; `priority` breaks ties of price,
    higher first; `weight` counts where the campaign selects by weight. `sellers` empty means all. `duplicates`: the
    buyer does not want a lead that equals one which it bought by this order. No `returns`: nothing can be returned.
    """

    id: Id
    buyer: Id
    campaign: Id
    name: str = ""
    filter: dict[str, Any] | None = None
    hours: tuple[str, ...] = ()
    timezone: str | None = None
    price: Price
    caps: tuple[Cap, ...] = ()
    exclusive: bool = False
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    weight: Annotated[int, Meta(ge=1, le=10_000)] = 1
    tier: Annotated[int, Meta(ge=1, le=20)] = 1
    sellers: Chosen = ()
    not_sellers: tuple[Id, ...] = ()
    duplicates: DuplicateRules | None = None
    returns: Returns | None = None
    paused: bool = False


class SuppressionList(Entry, frozen=True, kw_only=True):
    """Who is not to be called: a lead of these campaigns (none named: of all) with one of `fields` in it is refused.

    What stands in the list is loaded by `auction suppress`; here is what it is for.
    """

    id: Id
    name: str = ""
    fields: tuple[FieldName, ...]
    campaigns: Chosen = ()

    def covers(self, campaign: Campaign) -> bool:
        """Whether the leads of this campaign are looked up in the list."""
        if self.campaigns:
            return campaign.id in self.campaigns
        return any(spec.name in self.fields for spec in campaign.fields)


Scope = Literal["catalogue:read", "catalogue:write", "leads:read", "leads:write", "money:read"]


class Admin(Entry, frozen=True, kw_only=True):
    """An operator's caller of the admin API: its keys (`sha256:` hashes), and what it may do."""

    id: Id
    name: str = ""
    keys: tuple[KeyHash, ...] = ()
    scopes: tuple[Scope, ...] = ()
    paused: bool = False


Entity = Campaign | Seller | Buyer | Order | SuppressionList | Team | Source | LeadRoute | Admin
"""An entry that has an id."""


class House(Entry, frozen=True, kw_only=True):
    """The exchange itself: its name, the currency of all its money, the time zone of those who name none."""

    name: str = "Exchange"
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] = "USD"
    timezone: str = "UTC"


class Catalogue(Entry, frozen=True, kw_only=True):
    """All that is traded, as written. `market.compile_market` makes of it what an auction runs against."""

    exchange: House = House()
    campaigns: tuple[Campaign, ...] = ()
    sellers: tuple[Seller, ...] = ()
    buyers: tuple[Buyer, ...] = ()
    orders: tuple[Order, ...] = ()
    suppression_lists: tuple[SuppressionList, ...] = ()
    teams: tuple[Team, ...] = ()
    sources: tuple[Source, ...] = ()
    lead_routes: tuple[LeadRoute, ...] = ()
    admins: tuple[Admin, ...] = ()
