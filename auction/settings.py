"""Every setting, in one struct: flag before environment before default; every mistake named at once.

The struct says all there is to say of a setting: its name, its type with its bounds, its default, and the
sentence that `--help` prints. Flags and variables come as text and are read here, in one way.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from auction.errors import OperatorError

PREFIX: Final = "AUCTION_"
SECRETS: Final = frozenset(("secret_key", "database_url", "redis_url", "metrics_key"))
"""Their values are never shown: a URL may hold a password."""

_FIFTY_YEARS_MS: Final = 1_577_880_000_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange runs with. Each is also `AUCTION_<NAME>` in the environment."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0 chooses a free one.")] = 8080
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes, one a core.")] = 1
    data_dir: Annotated[Path, Meta(description="Folder of everything that is kept.")] = Path("data")
    redis_url: Annotated[
        str | None,
        Meta(
            description="Redis 7 or Valkey for the counters, in place of the embedded one; with redis+sentinel:// "
            "the primary that sentinels name."
        ),
    ] = None
    database_url: Annotated[
        str | None, Meta(description="PostgreSQL for the ledger, in place of SQLite in the data folder.")
    ] = None
    secret_key: Annotated[
        str | None,
        Meta(
            description="32 bytes, base64 or hex, that seal personal data (several: newest first, commas between); "
            "else made in the data folder."
        ),
    ] = None
    metrics_key: Annotated[
        str | None,
        Meta(
            description="What whoever asks for /metrics sends as a bearer token; without it everybody who reaches the "
            "port may read prices and margins there."
        ),
    ] = None
    allow_private_buyers: Annotated[
        bool, Meta(description="1 lets buyers' URLs lead to this machine and to private networks.")
    ] = False
    allow_origins: Annotated[
        str | None,
        Meta(
            description="Origins whose scripts in browsers may send leads, commas between them; * is any. "
            "None, unless set."
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")
    ] = "info"
    health: Annotated[
        Literal["on", "shadow", "off"],
        Meta(description="Whether failing buyers are asked less; shadow only counts it."),
    ] = "on"
    most_auctions: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Auctions at once in one worker; more get a 503.")
    ] = 2_000
    most_posts: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Posts at once in one worker; more get a 503.")
    ] = 1_000
    most_connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Clients connected to one worker at once; more get a 503.")
    ] = 10_000
    most_body_bytes: Annotated[
        int, Meta(ge=1_024, le=16_777_216, description="The longest request body that is read.")
    ] = 65_536
    most_request_keys: Annotated[
        int,
        Meta(
            ge=1, le=100_000_000, description="Idempotency-Keys kept for a seller in a day; more get a 429."
        ),
    ] = 100_000
    leads_per_minute: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Requests of one key to POST /api/leads in a minute.")
    ] = 60
    changes_per_minute: Annotated[
        int,
        Meta(
            ge=1, le=1_000_000, description="Changes of one key by /lead-routes, or by /admin, in a minute."
        ),
    ] = 120
    counters_timeout_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="How long a step on the counters may take.")
    ] = 50
    reconcile_every_s: Annotated[
        int,
        Meta(ge=0, le=31_536_000, description="How often counters are compared with the ledger; 0 is never."),
    ] = 86_400
    postbacks_per_second: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Postbacks of one buyer that a worker takes in a second.")
    ] = 100
    post_wait_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="How long a repeated post waits for the first one's answer.")
    ] = 10_000
    worker_lease_ms: Annotated[
        int,
        Meta(
            ge=500, le=600_000, description="How long a worker may be silent before others finish its leads."
        ),
    ] = 10_000
    start_within_ms: Annotated[
        int, Meta(ge=0, le=3_600_000, description="How long a start waits for stores that are not up yet.")
    ] = 30_000
    stop_within_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="How long a stop waits for what was taken in.")
    ] = 30_000
    retain_pii_days: Annotated[
        int,
        Meta(ge=0, le=36_500, description="Days until what names a person is erased from leads; 0 keeps it."),
    ] = 365
    retain_pings_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days that the log of pings goes back; 0 keeps all of it.")
    ] = 30
    retain_postbacks_days: Annotated[
        int,
        Meta(ge=0, le=36_500, description="Days that told events and their answers are kept; 0 keeps all."),
    ] = 30
    clock_offset_ms: Annotated[
        int, Meta(ge=-_FIFTY_YEARS_MS, le=_FIFTY_YEARS_MS, description="Shifts the clock, for rehearsals.")
    ] = 0

    @property
    def ledger_url(self) -> str:
        """The ledger: the database that was named, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'ledger.sqlite3'}"

    def __repr__(self) -> str:
        shown = (
            f"{name}={'(hidden)' if name in SECRETS and value is not None else repr(value)}"
            for name, value in msgspec.structs.asdict(self).items()
        )
        return f"Settings({', '.join(shown)})"


class Setting(msgspec.Struct, frozen=True):
    """What is known of one setting: `meta` holds its bounds and its sentence."""

    kind: Any
    meta: Meta
    default: Any


def _all_settings() -> dict[str, Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(Settings):
        kind, meta = get_args(hints[field.name])
        found[field.name] = Setting(kind, meta, field.default)
    return found


ALL: Final = _all_settings()
Checks = Mapping[str, Callable[[Any], object]]


def read_settings(
    environ: Mapping[str, str], flags: Mapping[str, Any], checks: Checks = MappingProxyType({})
) -> Settings:
    """Settings out of flags (those that are not None) over the environment over the defaults.

    A variable that is empty is not set. `checks` are of the rooms that use a setting: each is called with the
    value, and raises `OperatorError` for one that it cannot use.

    Raises `OperatorError` with one line for every mistake: the flag or variable, what to write, what was there.
    """
    found: dict[str, Any] = {}
    mistakes = [_unknown(name) for name in environ if name.startswith(PREFIX) and not _is_setting(name)]
    for name, setting in ALL.items():
        flag, variable = flags.get(name), environ.get(variable_of(name), "")
        if flag is None and not variable:
            continue
        said_by, raw = (flag_of(name), flag) if flag is not None else (variable_of(name), variable)
        try:
            found[name] = _read(setting, str(raw).strip())
            checks.get(name, _no_check)(found[name])
        except ValueError as error:
            shown = "" if name in SECRETS else f", was {str(raw)!r}"
            mistakes.append(f"{said_by}: {error}{shown}")
        except OperatorError as error:
            mistakes.append(f"{said_by}: {error.detail.removeprefix(variable_of(name)).lstrip()}")
    if mistakes:
        raise OperatorError("bad_settings", "\n".join(sorted(mistakes)))
    return Settings(**found)


def to_environ(settings: Settings) -> dict[str, str]:
    """The variables that `read_settings` makes the same settings of."""
    values = msgspec.structs.asdict(settings).items()
    return {
        variable_of(name): str(int(value) if isinstance(value, bool) else value)
        for name, value in values
        if value is not None
    }


def flag_of(name: str) -> str:
    """`--data-dir`, for `data_dir`."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """`AUCTION_DATA_DIR`, for `data_dir`."""
    return PREFIX + name.upper()


def is_of_the_house(variable: str) -> bool:
    """Whether a variable of the environment is for the house alone: the key that seals, stores with their passwords."""
    return variable.upper().startswith(PREFIX)


def _is_setting(variable: str) -> bool:
    return variable.removeprefix(PREFIX).lower() in ALL and variable == variable.upper()


def _unknown(variable: str) -> str:
    near = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), ALL, n=1)
    return f"{variable}: no such setting" + (f"; did you mean {variable_of(near[0])}?" if near else "")


def _no_check(value: object) -> None:
    """Most settings are good when their type is."""


def _read(setting: Setting, text: str) -> Any:
    """`text` as a setting of this kind. Raises `ValueError` that says what to write."""
    kind = setting.kind
    if not text:
        raise ValueError("expected a value")
    if kind is int:
        return _read_whole(text, setting.meta)
    if kind is bool:
        return _read_flag(text)
    if get_origin(kind) is Literal:
        if text.lower() not in get_args(kind):
            *others, last = get_args(kind)
            raise ValueError(f"expected {', '.join(others)} or {last}")
        return text.lower()
    return Path(text) if kind is Path else text


def _read_whole(text: str, bounds: Meta) -> int:
    least, most = bounds.ge, bounds.le
    assert least is not None
    assert most is not None
    digits = text.removeprefix("-")
    if len(digits) > 20 or not (digits.isascii() and digits.isdigit()) or not least <= int(text) <= most:
        raise ValueError(f"expected a whole number from {least} to {most}")
    return int(text)


def _read_flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected 1 or 0")
