"""Every setting, in one struct: flag before environment before default; every mistake named at once (DESIGN 9)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from auction.errors import OperatorError

PREFIX = "AUCTION_"

Port = Annotated[int, Meta(ge=0, le=65_535)]
Milliseconds = Annotated[int, Meta(ge=1, le=600_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange runs with. Each is also `AUCTION_<NAME>` in the environment."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    data_dir: Path = Path("data")
    redis_url: str | None = None
    database_url: str | None = None
    secret_key: str | None = None
    allow_private_buyers: bool = False
    log_level: str = "info"
    most_auctions: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    most_posts: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    most_body_bytes: Annotated[int, Meta(ge=1_024, le=16_777_216)] = 65_536
    counters_timeout_ms: Milliseconds = 50
    post_wait_ms: Milliseconds = 10_000
    stop_within_ms: Milliseconds = 30_000
    clock_offset_ms: int = 0

    @property
    def ledger_url(self) -> str:
        """The ledger: the database that was named, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'ledger.sqlite3'}"


_SENTENCES = {
    bool: "expected 1 or 0",
    int: "expected a whole number",
    Path: "expected a path",
    str: "expected text",
}
_LEVELS = ("debug", "info", "warning", "error")


def read_settings(environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Settings out of flags (those that are not None) over the environment over the defaults.

    Raises `OperatorError` with one line for every mistake: the flag or variable, what it was, what to write.
    """
    hints = get_type_hints(Settings, include_extras=True)
    found: dict[str, Any] = {}
    mistakes: list[str] = []
    for name in environ:
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and key not in hints:
            mistakes.append(f"{name}: no such setting")
    for key, hint in hints.items():
        flag, variable = flags.get(key), environ.get(PREFIX + key.upper())
        if flag is None and variable in (None, ""):
            continue
        said_by, raw = (
            ("--" + key.replace("_", "-"), flag) if flag is not None else (PREFIX + key.upper(), variable)
        )
        try:
            found[key] = _converted(raw, hint)
        except ValueError as error:
            mistakes.append(f"{said_by}: {error}, was {_shown(key, raw)}")
    if str(found.get("log_level", "info")) not in _LEVELS:
        mistakes.append(f"log_level: expected one of {', '.join(_LEVELS)}")
    if mistakes:
        raise OperatorError("bad_settings", "\n".join(sorted(mistakes)))
    return Settings(**found)


def _converted(raw: object, hint: Any) -> Any:
    if hint is Path or raw.__class__ is hint:
        return Path(str(raw)) if hint is Path else raw
    if hint is bool:
        said = str(raw).strip().lower()
        if said in ("1", "true", "yes", "on"):
            return True
        if said in ("0", "false", "no", "off"):
            return False
        raise ValueError(_SENTENCES[bool])
    try:
        return msgspec.convert(raw, hint, strict=False)
    except msgspec.ValidationError as error:
        said = str(error).removeprefix("Expected ")
        raise ValueError("expected " + said.replace("`", "")) from None


def _shown(key: str, raw: object) -> str:
    """A mistake shows what was written, except where it could be a secret."""
    return "(hidden)" if key in ("secret_key", "database_url", "redis_url") else repr(raw)
