"""The script: which buyers are played, each in its manner, read from YAML.

All of a manner is optional; `{}` is a buyer who bids 25.00 at once and takes every lead. A script is read to
its end whatever is wrong with it, so that every mistake is named at once: msgspec alone stops at the first.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, TypeVar, get_args

import msgspec
import yaml
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=1_000_000)]
_BUYER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Mistake(msgspec.Struct, frozen=True):
    """One thing wrong: where (`sunrise.bid.price`), and what to write instead."""

    field: str
    error: str

    def __str__(self) -> str:
        return f"{self.field}: {self.error}"


class ScriptError(Exception):
    """A script or a manner that cannot be played; `mistakes` names every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all parts of a script share."""


class Section(_Written, frozen=True, kw_only=True):
    """A part of a manner that a change merges into key by key; everything else is replaced whole."""


class Spike(_Written, frozen=True, kw_only=True):
    """`usual`, but a `share` of the time `of`."""

    usual: Amount
    share: Share
    of: Amount


class Spread(_Written, frozen=True, kw_only=True):
    """How a number varies: exactly one of the four, kept between `min` and `max`."""

    uniform: tuple[Amount, Amount] | None = None
    normal: tuple[float, Amount] | None = None
    choices: Annotated[tuple[Amount, ...], Meta(min_length=1)] | None = None
    spike: Spike | None = None
    min: Amount = 0.0
    max: Amount = 1_000_000.0

    def __post_init__(self) -> None:
        said = [way for way in (self.uniform, self.normal, self.choices, self.spike) if way is not None]
        if len(said) != 1:
            raise ValueError("expected exactly one of uniform, normal, choices, spike")
        if self.normal is not None and not all(map(math.isfinite, self.normal)):
            raise ValueError("expected finite numbers")
        if self.min > self.max:
            raise ValueError("expected min to be at most max")


class BidManner(Section, frozen=True, kw_only=True):
    """How a buyer bids. `exclusive: null` leaves the word out of the answer; a `no_bid_reason` makes a
    no-bid `{"bid":0,"reason":…}`, without one it is a 204. Prices are rounded to cents, and at least 0.01."""

    price: Amount | Spread = 25.0
    exclusive: bool | None = None
    share_no_bid: Share = 0.0
    no_bid_reason: str | None = None
    expires_in: Annotated[int, Meta(ge=0)] = 60


class OneBid(Section, frozen=True, kw_only=True):
    """One bid of an answer with several."""

    price: Amount | Spread = 25.0
    exclusive: bool | None = None


class Faults(Section, frozen=True, kw_only=True):
    """Which share of requests goes wrong, and how.

    `error_500` decides nothing; under every other fault the buyer has decided, and only the answer is
    spoiled: `hang` never comes, `garbage` is HTTP but no JSON, `bad_http` is no HTTP, `half_answer` stops
    in the middle, `huge` is 4 MiB, `reset` and `close` end the connection instead, `slow_drip` sends byte
    by byte.
    """

    error_500: Share = 0.0
    hang: Share = 0.0
    garbage: Share = 0.0
    bad_http: Share = 0.0
    half_answer: Share = 0.0
    huge: Share = 0.0
    reset: Share = 0.0
    close: Share = 0.0
    slow_drip: Share = 0.0

    def __post_init__(self) -> None:
        if sum(msgspec.structs.astuple(self)) > 1 + 1e-9:
            raise ValueError("expected shares that add up to at most 1")


class PingFaults(Faults, frozen=True, kw_only=True):
    """A ping can also be answered by a bid below nothing."""

    negative: Share = 0.0


class PostManner(Section, frozen=True, kw_only=True):
    """How a buyer takes leads. `status` is the word that it says for yes."""

    accept: Share = 1.0
    status: str = "accepted"
    reject_reasons: Annotated[tuple[str, ...], Meta(min_length=1)] = ("not_wanted",)
    refuse_duplicates: tuple[str, ...] = ()
    redirect_url: str | None = None
    latency_ms: Amount | Spread = 0.0
    faults: Faults = Faults()


class Caps(Section, frozen=True, kw_only=True):
    """The buyer's own cap: from then on posts are rejected with the reason `cap`."""

    leads: Annotated[int, Meta(ge=0)] | None = None


class Auth(_Written, frozen=True, kw_only=True):
    """What a request must carry; any other is answered 401."""

    value: str
    header: str = "authorization"


class Manner(Section, frozen=True, kw_only=True):
    """One buyer's manner. With `bids`, an answer has several: their prices, and the rest of `bid`."""

    bid: BidManner = BidManner()
    bids: tuple[OneBid, ...] = ()
    latency_ms: Amount | Spread = 0.0
    faults: PingFaults = PingFaults()
    post: PostManner = PostManner()
    caps: Caps = Caps()
    auth: Auth | None = None


class Script(msgspec.Struct, frozen=True):
    """All buyers that are played, by id."""

    buyers: dict[str, Manner]


def read_script(text: str) -> Script:
    """The script in YAML `text`. Raises `ScriptError` with every mistake in it."""
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ScriptError([Mistake("script", " ".join(str(error).split()))]) from None
    if not isinstance(raw, Mapping) or set(raw) != {"buyers"} or not isinstance(raw["buyers"], Mapping):
        raise ScriptError(
            [Mistake("script", "expected one key, `buyers`, with a manner for each buyer's id")]
        )
    mistakes: list[Mistake] = []
    buyers = {}
    for buyer, manner in raw["buyers"].items():
        if not isinstance(buyer, str) or not _BUYER_ID.fullmatch(buyer):
            mistakes.append(Mistake(str(buyer), "expected an id of small letters, digits, `-` and `_`"))
        else:
            buyers[buyer] = _read(Manner, {} if manner is None else manner, buyer, mistakes)
    if mistakes:
        raise ScriptError(mistakes)
    return Script({buyer: manner for buyer, manner in buyers.items() if manner is not None})


def changed(manner: Manner, change: object) -> Manner:
    """`manner` with a partial one merged in: sections key by key, all else replaced, null gives the default
    back. Raises `ScriptError` with every mistake in the change."""
    if not isinstance(change, Mapping):
        raise ScriptError([Mistake("manner", "expected an object")])
    mistakes: list[Mistake] = []
    read = _read(Manner, _merged(Manner, msgspec.to_builtins(manner), change), "", mistakes)
    if read is None:
        raise ScriptError(mistakes)
    return read


S = TypeVar("S", bound=Section)


def _read(kind: type[S], raw: object, at: str, mistakes: list[Mistake]) -> S | None:
    """A section of `raw`; None when something in it was added to `mistakes`. Null stands for the default."""
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(at, "expected keys and values"))
        return None
    before = len(mistakes)
    types = _types(kind)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        path = f"{at}.{key}" if at else str(key)
        if key not in types:
            mistakes.append(Mistake(path, f"not known{_instead(str(key), types)}"))
        elif value is not None:
            values[key] = _read_value(types[key], value, path, mistakes)
    if len(mistakes) > before:
        return None
    try:
        return kind(**values)
    except ValueError as error:
        mistakes.append(Mistake(at, str(error)))
        return None


def _read_value(kind: Any, raw: object, at: str, mistakes: list[Mistake]) -> object:
    if _is_section(kind):
        return _read(kind, raw, at, mistakes)
    item = (get_args(kind) or (None,))[0]
    if _is_section(item) and isinstance(raw, list | tuple):
        return tuple(_read(item, one, f"{at}[{n}]", mistakes) for n, one in enumerate(raw))
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, inner = str(error).partition(" - at `$")
        mistakes.append(Mistake(at + inner.rstrip("`"), what[:1].lower() + what[1:]))
        return None


def _merged(kind: Any, written: Mapping[str, Any], change: Mapping[Any, Any]) -> dict[Any, Any]:
    types = _types(kind)
    merged = dict(written)
    for key, value in change.items():
        if _is_section(types.get(key)) and isinstance(value, Mapping):
            merged[key] = _merged(types[key], written.get(key, {}), value)
        else:
            merged[key] = value
    return merged


def _types(kind: type[Section]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _instead(key: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"


class _Loader(yaml.SafeLoader):
    """A SafeLoader to which a key written twice is a mistake, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for n, key in enumerate(keys):
            if key in keys[:n]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key}` is there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)
