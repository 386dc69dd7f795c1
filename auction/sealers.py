"""The keys of this house: what seals what names a person, and what hashes are made with."""

from __future__ import annotations

from sqlalchemy import Engine

from auction.clock import SystemClock
from auction.ledger.house_keys import adopt_hash_key
from auction.ledger.key_file import KeyFile
from auction.ledger.sealing import Sealer, first_hash_key, keys_from_text
from auction.settings import Settings
from auction.suppression.prints import Prints


def prints_of(settings: Settings, engine: Engine) -> Prints:
    """What makes the prints of suppressed values, under a key of this house. Blocks."""
    return prints_with(hashing_sealer(settings, engine))


def prints_with(sealer: Sealer) -> Prints:
    """The same, with the sealer at hand."""
    return Prints(print_key(sealer))


def print_key(sealer: Sealer) -> bytes:
    """The key of those prints."""
    return sealer.keyed_hash("suppression", b"")


def key_file_of(settings: Settings) -> KeyFile:
    """The file of keys in the data folder, used where the settings name none."""
    return KeyFile(settings.data_dir / "secret.key")


def sealer_of(settings: Settings) -> Sealer:
    """The keys that seal what names a person: from the settings, or made once in the data folder."""
    if settings.secret_key:
        return Sealer(keys_from_text(settings.secret_key))
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = key_file_of(settings)
    return Sealer(file.load_or_make(), again=file.load)


def hashing_sealer(settings: Settings, engine: Engine) -> Sealer:
    """The same, with the hash key of this ledger (made where it has none). Blocks. Raises `OperatorError`."""
    sealer = sealer_of(settings)
    keys = keys_from_text(settings.secret_key) if settings.secret_key else key_file_of(settings).load()
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    adopt_hash_key(engine, sealer, first_hash_key(keys), now_ms)
    return sealer
