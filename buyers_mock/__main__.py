"""`python -m buyers_mock [FILE]`: plays a script until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import ssl
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import click
import uvloop

from buyers_mock.script import ScriptError, read_script
from buyers_mock.server import Listening, listening


@click.command(context_settings={"show_default": True})
@click.argument("file", type=click.Path(path_type=Path), default=Path("config/demo-buyers.yaml"))
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", "ports", type=click.IntRange(0, 65535), multiple=True, default=(8090,),
              help="Port to listen on; 0 chooses a free one; may be given several times.")  # fmt: skip
@click.option("--seed", default=7, help="The same seed and the same requests give the same answers.")
@click.option(
    "--log-entries", type=click.IntRange(0), default=10_000, help="Requests kept for /_log; 0: none."
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keeps what was bought, found again; and asks.",
)
@click.option("--tls-cert", type=click.Path(exists=True, path_type=Path), help="PEM file; makes it HTTPS.")
@click.option("--tls-key", type=click.Path(exists=True, path_type=Path), help="PEM file of the key.")
def main(
    file: Path,
    host: str,
    ports: tuple[int, ...],
    seed: int,
    log_entries: int,
    journal: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Play the buyers of FILE."""
    try:
        script = read_script(file.read_text(encoding="utf-8"))
        tls = _tls(tls_cert, tls_key)
        playing = partial(listening, script, host=host, ports=ports, seed=seed, log_entries=log_entries)
        uvloop.run(_play(playing(tls=tls, journal=journal), len(script.buyers)))
    except ScriptError as error:
        raise click.ClickException(f"{file} cannot be played:\n{error}") from None
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = "the port is taken: stop who has it, or give another --port" if taken else str(error)
        raise click.ClickException(hint) from None
    except UnicodeDecodeError as error:
        raise click.ClickException(str(error)) from None


async def _play(playing: AbstractAsyncContextManager[Listening], buyers: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with playing as mock:
        gc.freeze()  # what is here stays: no need to look at it again under load
        many = "1 buyer" if buyers == 1 else f"{buyers} buyers"
        click.echo(f"buyers_mock listens on {', '.join(mock.urls)} with {many}")
        await stop.wait()


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise click.UsageError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


if __name__ == "__main__":
    main()
