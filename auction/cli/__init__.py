"""The command line: one program, one module a command group (DESIGN 9)."""

from __future__ import annotations

import sys
from typing import Any

import click

from auction.cli.catalogue import apply, check, export
from auction.cli.demo import demo
from auction.cli.explain import explain, lead
from auction.cli.keys import keys
from auction.cli.serve import serve, worker
from auction.errors import ExchangeError


class _Program(click.Group):
    """Expected faults are printed as they are, one line a mistake, and end with exit code 2; never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ExchangeError as error:
            click.echo(error.detail, err=True)
            sys.exit(2)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="auction")
def main() -> None:
    """An open, self-hosted ping-post real-time bidding exchange for leads.

    Every flag can also be set in the environment: --data-dir is AUCTION_DATA_DIR.
    """


for command in (serve, check, apply, export, keys, explain, lead, demo, worker):
    main.add_command(command)
