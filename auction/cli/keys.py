"""`auction keys`: the API keys of sellers, buyers and operators, and buyers' hash keys.

An API key is shown once; only its hash is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

import click

from auction.catalogue.mistakes import unknown_name
from auction.changes.administration import HASHED, hash_of, new_key
from auction.changes.applying import stored_catalogue
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.errors import OperatorError
from auction.ledger.catalogue_store import add_key, keys_of, revoke_key
from auction.ledger.engine import transaction
from auction.market.entry import KeyKind
from auction.market.model import Admin, Buyer, Catalogue, Seller
from auction.ping.hashes import Hashes
from auction.ping.offer import iso_utc
from auction.sealers import hashing_sealer

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys; show a buyer's hash key.

    A key is sent with every request: a seller's with its leads, a buyer's (--buyer) with its lead routes and
    postbacks, an operator's (--admin) with the calls of the admin API. What is made or revoked here is known to a
    running server within a second.
    """


Holder = Seller | Buyer | Admin
Command = TypeVar("Command", bound=Callable[..., None])


def _of_kind(command: Command) -> Command:
    """The flags that say whose key it is: a seller's, if nothing is said."""
    for kind in ("buyer", "admin"):
        command = click.option(f"--{kind}", "kind", flag_value=kind, help=f"{kind.upper()}'s key.")(command)
    return click.option("--seller", "kind", flag_value="seller", default="seller", help="SELLER's key.")(
        command
    )


@keys.command()
@click.argument("holder")
@_of_kind
@store_flags
def create(holder: str, kind: KeyKind, **flags: object) -> None:
    """Make a key for HOLDER (a seller's id, or a buyer's or an admin's) and show it, once."""
    settings = settings_of(**flags)
    key = new_key()
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    with open_ledger(settings) as engine, transaction(engine) as conn:
        _holder(stored_catalogue(conn)[1], kind, holder)
        add_key(conn, kind, holder, hash_of(key), now_ms)
    click.echo(key)
    click.echo(f"This is the only time that this key of {holder} is shown.", err=True)


@keys.command(name="list")
@click.argument("holder")
@_of_kind
@store_flags
def list_(holder: str, kind: KeyKind, **flags: object) -> None:
    """Show the hashes of HOLDER's keys: when each was made, and which were revoked."""
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        catalogue, made = stored_catalogue(conn)[1], keys_of(conn, kind, holder)
    lines = [f"{key_hash}  (in the catalogue)" for key_hash in _holder(catalogue, kind, holder).keys]
    good = len(lines) + sum(key.revoked_at_ms is None for key in made)
    for key in made:
        gone = "" if key.revoked_at_ms is None else f", revoked {iso_utc(key.revoked_at_ms)}"
        lines.append(f"{key.hash}  made {iso_utc(key.created_at_ms)}{gone}")
    if not good:
        flag = "" if kind == "seller" else f" --{kind}"
        click.echo(f"{holder} has no key: `auction keys create {holder}{flag}` makes one", err=True)
    for line in lines:
        click.echo(line)


@keys.command()
@click.argument("key_or_hash")
@store_flags
def revoke(key_or_hash: str, **flags: object) -> None:
    """Take a key back for good, given as it was shown or as its hash."""
    settings = settings_of(**flags)
    if key_or_hash.startswith(HASHED) and not _HASH.fullmatch(key_or_hash):
        raise OperatorError(
            "bad_hash", f"expected {HASHED} and 64 characters of 0-9 and a-f, as `keys list` shows"
        )
    key_hash = key_or_hash if key_or_hash.startswith(HASHED) else hash_of(key_or_hash)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    with open_ledger(settings) as engine, transaction(engine) as conn:
        catalogue = stored_catalogue(conn)[1]
        for one in chain[Holder](catalogue.sellers, catalogue.buyers, catalogue.admins):
            if key_hash in one.keys:
                raise OperatorError(
                    "key_in_catalogue",
                    f"this key stands in the catalogue: take it out of {one.id}'s keys and apply",
                )
        revoke_key(conn, key_hash, now_ms)
    click.echo("revoked")


@keys.command(name="hash")
@click.argument("buyer")
@store_flags
def hash_(buyer: str, **flags: object) -> None:
    """Show BUYER's hash key: give it to that buyer and to nobody else.

    With it the buyer computes, over the people that it has, the hashes that pings carry of fields marked
    `ping_as: hash`: HMAC-SHA256 of the 64 hex characters of SHA-256 of the value. The key stays the same for good.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine:
        with engine.connect() as conn:
            _holder(stored_catalogue(conn)[1], "buyer", buyer)
        sealer = hashing_sealer(settings, engine)
    click.echo(Hashes(sealer.keyed_hash).buyer_key(buyer).hex())


def _holder(catalogue: Catalogue, kind: KeyKind, wanted: str) -> Holder:
    holders: dict[KeyKind, Sequence[Holder]] = {
        "seller": catalogue.sellers,
        "buyer": catalogue.buyers,
        "admin": catalogue.admins,
    }
    known = {one.id: one for one in holders[kind]}
    if wanted not in known:
        raise OperatorError(f"unknown_{kind}", unknown_name(kind, wanted, known))
    return known[wanted]
