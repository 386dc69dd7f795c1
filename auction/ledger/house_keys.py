"""The house's own keys, sealed in the ledger: today one, under which all keyed hashes are made.

It stays when sealing keys come and go, so duplicates, repeated posts and buyers' hashes are recognised over any
rotation. A ledger that has hashes from before it had this key goes on with the one they were hashed with.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from auction.errors import HouseError, OperatorError
from auction.ledger.engine import transaction
from auction.ledger.schema import house_keys, leads, suppression_lists
from auction.ledger.sealing import KEY_BYTES, NAME_BYTES, Sealer

HASH_KEY: Final = "hash"
_ABOUT: Final = b"house:hash"
_FIND = select(house_keys.c.sealed).where(house_keys.c.name == HASH_KEY)


def adopt_hash_key(engine: Engine, sealer: Sealer, first: bytes, at_ms: int) -> None:
    """Let `sealer` hash with the ledger's hash key; made where there is none. Blocks: run it in a thread.

    `first` is the key for a ledger that has hashes already. Raises `OperatorError` where the key that it was sealed
    with is not among ours.
    """
    with engine.connect() as conn:
        sealed = conn.execute(_FIND).scalar()
    if sealed is None:
        try:
            with transaction(engine) as conn:
                sealed = _make(conn, sealer, first, at_ms)
        except IntegrityError:  # another worker was first
            with engine.connect() as conn:
                sealed = conn.execute(_FIND).scalar_one()
    try:
        sealer.hash_with(sealer.open(sealed, _ABOUT))
    except HouseError as error:
        raise OperatorError(
            "secret_key_lost",
            "the secret key is not the one that this ledger was sealed with: put that one back, behind the new one "
            "if there is one; `auction reseal` tells when it may go",
        ) from error


def reseal_hash_key(conn: Connection, sealer: Sealer) -> bool:
    """Seal it with the newest key; whether that was to be done."""
    sealed = conn.execute(_FIND).scalar()
    if sealed is None or sealed[:NAME_BYTES] == sealer.name:
        return False
    fresh = sealer.seal(sealer.open(sealed, _ABOUT), _ABOUT)
    conn.execute(update(house_keys).where(house_keys.c.name == HASH_KEY).values(sealed=fresh))
    return True


def _make(conn: Connection, sealer: Sealer, first: bytes, at_ms: int) -> bytes:
    used = any(
        conn.execute(select(column).limit(1)).first() is not None
        for column in (leads.c.lead_id, suppression_lists.c.list_id)
    )
    sealed = sealer.seal(first if used else secrets.token_bytes(KEY_BYTES), _ABOUT)
    conn.execute(insert(house_keys).values(name=HASH_KEY, sealed=sealed, made_at_ms=at_ms))
    return sealed
