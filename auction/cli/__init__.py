"""The command line: one program, one module a command group (DESIGN 9)."""

from __future__ import annotations

import sys
from typing import Any

import click

from auction.cli.audit import audit
from auction.cli.catalogue import apply, check, export
from auction.cli.demo import demo
from auction.cli.explain import explain, lead
from auction.cli.forget import forget
from auction.cli.keys import keys
from auction.cli.postbacks import postbacks
from auction.cli.reconcile import reconcile
from auction.cli.reseal import reseal
from auction.cli.returning import refused, return_lead
from auction.cli.serve import serve
from auction.cli.settling import pending, settle
from auction.cli.suppress import suppress
from auction.cli.waiting_leads import waiting
from auction.cli.worker import worker
from auction.errors import ExchangeError

EXPECTED_FAULT = 2


class _Program(click.Group):
    """Expected faults are printed as they are, one line a mistake, and end with exit code 2; never a traceback.

    What the machine refuses (a folder, a disk) is one of them, wherever it comes up.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are met, not by name."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ExchangeError as error:
            click.echo(error.detail, err=True)
        except BrokenPipeError:  # `auction export | head`: click ends quietly
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"{where}{error.strerror or error}", err=True)
        sys.exit(EXPECTED_FAULT)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="auction")
def main() -> None:
    """An open, self-hosted ping-post real-time bidding exchange for leads.

    `auction demo` shows it at work; `auction serve` runs it. Every flag can also be set in the environment: --data-dir
    is AUCTION_DATA_DIR. The exit code is 0 when it was done, and 2 when it was refused, with the reason.
    """


for command in (
    demo,
    serve,
    check,
    apply,
    export,
    audit,
    keys,
    explain,
    lead,
    pending,
    settle,
    waiting,
    postbacks,
    return_lead,
    refused,
    suppress,
    forget,
    reconcile,
    reseal,
    worker,
):
    main.add_command(command)
