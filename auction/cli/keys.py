"""`auction keys`: sellers' API keys. A key is shown once, when it is made; only its hash is kept."""

from __future__ import annotations

import secrets
from hashlib import sha256

import click

from auction.applying import stored_catalogue
from auction.cli.options import ledger_of, settings_of, store_flags
from auction.clock import SystemClock
from auction.errors import OperatorError
from auction.ledger.catalogue_store import add_seller_key, revoke_seller_key
from auction.ledger.engine import transaction, writing


@click.group()
def keys() -> None:
    """Make, list and revoke sellers' API keys."""


@keys.command()
@click.argument("seller")
@store_flags
def create(seller: str, **flags: object) -> None:
    """Make a key for SELLER and show it, once."""
    settings = settings_of(**flags)
    key = "ak_" + secrets.token_urlsafe(32)
    with transaction(writing(ledger_of(settings))) as conn:
        _require(seller, {one.id for one in stored_catalogue(conn)[1].sellers})
        now_ms = SystemClock(settings.clock_offset_ms).now_ms()
        add_seller_key(conn, seller, hash_of(key), now_ms)
    click.echo(key)
    click.echo(f"This is the only time that this key of {seller} is shown.", err=True)


@keys.command(name="list")
@click.argument("seller")
@store_flags
def list_(seller: str, **flags: object) -> None:
    """Show the hashes of SELLER's keys."""
    with transaction(ledger_of(settings_of(**flags))) as conn:
        _, catalogue, made = stored_catalogue(conn)
    _require(seller, {one.id for one in catalogue.sellers})
    for key_hash in made.get(seller, []):
        click.echo(key_hash)
    for one in catalogue.sellers:
        if one.id == seller:
            for key_hash in one.keys:
                click.echo(f"{key_hash}  (in the catalogue)")


@keys.command()
@click.argument("key_or_hash")
@store_flags
def revoke(key_or_hash: str, **flags: object) -> None:
    """Take a key back, given as it was shown or as its hash."""
    settings = settings_of(**flags)
    key_hash = key_or_hash if key_or_hash.startswith("sha256:") else hash_of(key_or_hash)
    with transaction(writing(ledger_of(settings))) as conn:
        revoke_seller_key(conn, key_hash, SystemClock(settings.clock_offset_ms).now_ms())
    click.echo("revoked")


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return "sha256:" + sha256(key.encode()).hexdigest()


def _require(seller: str, known: set[str]) -> None:
    if seller not in known:
        listed = ", ".join(sorted(known)) or "none: apply a catalogue first"
        raise OperatorError("unknown_seller", f"there is no seller {seller!r}; known: {listed}")
