"""The command line: one program, one module a command group.

A command's module is imported when it is called for: most of them need the database's libraries, which take longer to
import than many a command takes to run. So `--help` says here what each does, in the first words of its own help.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import click

from auction.errors import ExchangeError

EXPECTED_FAULT = 2


class _Known(NamedTuple):
    """Where a command is, and its help's first sentence."""

    module: str
    function: str
    says: str


COMMANDS: Final[Mapping[str, _Known]] = MappingProxyType(
    {
        "demo": _Known("demo", "demo", "Watch real auctions, and a summary of it all."),
        "serve": _Known("serve", "serve", "Run the exchange until it is told to stop."),
        "check": _Known("catalogue", "check", "Find every mistake in catalogue files."),
        "apply": _Known("catalogue", "apply", "Make the stored catalogue match these files."),
        "export": _Known("catalogue", "export", "Print the stored catalogue as a file that `apply` reads."),
        "audit": _Known(
            "audit",
            "audit",
            "Show who changed what of the catalogue, the latest first: by the admin API, the doors, "
            "and the command line.",
        ),
        "keys": _Known("keys", "keys", "Make, list and revoke API keys; show a buyer's hash key."),
        "explain": _Known("explain", "explain", "Show one auction, and for every order why it won or not."),
        "lead": _Known(
            "explain",
            "lead",
            "Show one lead's whole life: states, offers, sales, and what its seller was told.",
        ),
        "pending": _Known(
            "settling",
            "pending",
            "List offers of which nobody knows whether the buyer took the lead, the oldest first.",
        ),
        "settle": _Known(
            "settling",
            "settle",
            "Say what became of an offer that is unknown: the buyer took the lead, or it did not.",
        ),
        "waiting": _Known("waiting_leads", "waiting", "List leads that wait for a buyer, the oldest first."),
        "postbacks": _Known(
            "postbacks", "postbacks", "What sellers were told of their leads, and telling them again."
        ),
        "return": _Known(
            "returning",
            "return_lead",
            "Take a sold lead back from its buyer, as a postback of the buyer would.",
        ),
        "refused": _Known("returning", "refused", "List postbacks that were refused, the latest first."),
        "suppress": _Known("suppress", "suppress", "Fill and look into suppression lists."),
        "forget": _Known("forget", "forget", "Erase what is personal of leads."),
        "reconcile": _Known(
            "reconcile", "reconcile", "Compare what the caps' counters say with what the ledger says."
        ),
        "reseal": _Known("reseal", "reseal", "Seal everything again with the newest key."),
    }
)
"""In the order in which they are met, not by name."""
HIDDEN: Final[Mapping[str, _Known]] = MappingProxyType({"worker": _Known("worker", "worker", "")})
"""What only the house itself calls."""


class _Program(click.Group):
    """Expected faults are printed as they are, one line a mistake, and end with exit code 2; never a traceback.

    What the machine refuses (a folder, a disk) is one of them, wherever it comes up.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if known is None:
            return None
        found = getattr(import_module(f"auction.cli.{known.module}"), known.function)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises `click.UsageError` for a command that there is not, with the one that was meant."""
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.says) for name, known in COMMANDS.items()])

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
