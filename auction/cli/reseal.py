"""`auction reseal`: everything that is sealed, sealed again with the newest key; so that an older one can go."""

from __future__ import annotations

import sys
import time

import click

from auction.cli.options import WithVariables, open_ledger, settings_of, store_flags
from auction.counted import counted
from auction.errors import OperatorError
from auction.ledger.key_file import KeyFile
from auction.ledger.resealing import reseal as reseal_all
from auction.sealers import hashing_sealer, key_file_of
from auction.settings import Settings

KEEP_OLD_S = 24 * 3_600
"""How long an older key stays at least: no worker still seals with it then, nor does the counters' copy of an answer
live that long."""
WORKERS_LOOK_S = 1.0


@click.command(cls=WithVariables, told=("secret_key",))
@click.option("--new-key", is_flag=True, help="First put a new key in front of the file in the data folder.")
@click.option(
    "--drop-old",
    is_flag=True,
    help="Drop the older keys of the file, if nothing is sealed with them any more.",
)
@store_flags
def reseal(new_key: bool, drop_old: bool, **flags: object) -> None:
    """Seal everything again with the newest key.

    The house may run meanwhile; stopped half-way, it goes on where it was. Where the keys stand in AUCTION_SECRET_KEY
    (newest first, commas between), put the new one in front there and start every worker again before.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine:
        # an older ledger's hash key hangs on the oldest key: it is made fast before there is another
        sealer = hashing_sealer(settings, engine)
        if new_key:
            file = _file(settings, "--new-key")
            file.add()
            sealer.use(file.load())
            time.sleep(WORKERS_LOOK_S)  # a running house reads the file again by itself
        done = reseal_all(
            engine, sealer, lambda leads: click.echo(f"{counted(leads, 'lead')} so far", err=True)
        )
    click.echo(f"{counted(done.leads, 'lead')} sealed again, {done.left:,} left with an older key")
    for lead_id in done.unopened[:20]:
        click.echo(
            f"lead {lead_id} opens with none of the keys: put back the one it was sealed with", err=True
        )
    if drop_old and not done.left:
        _drop(settings)
    if done.left:
        sys.exit(2)


def _drop(settings: Settings) -> None:
    file = _file(settings, "--drop-old")
    age_s = time.time() - file.written_at_s()
    if age_s < KEEP_OLD_S and len(file.load()) > 1:
        hours = int(-(-(KEEP_OLD_S - age_s) // 3_600))
        raise OperatorError(
            "keys_too_young", f"the newest key is too young: drop the older ones in {counted(hours, 'hour')}"
        )
    click.echo(f"{counted(file.keep_newest(), 'older key')} dropped")


def _file(settings: Settings, flag: str) -> KeyFile:
    if settings.secret_key:
        raise OperatorError(
            "keys_are_set", f"{flag} is for keys in the data folder; yours stand in AUCTION_SECRET_KEY"
        )
    return key_file_of(settings)
