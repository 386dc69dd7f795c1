"""schemathesis against a house, as a caller with one key."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.fuzz.effort import EFFORT
from tests.servers import ROOT


async def fuzzed(url: str, folder: Path, key: str, config: str, examples: int, *arguments: str) -> bytes:
    """What it said; it must have found nothing."""
    file = folder / "schemathesis.toml"
    file.write_text(config)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(file),
        "run",
        f"{url}/openapi.json",
        "--header",
        f"Authorization: Bearer {key}",
        "--max-examples",
        str(examples * EFFORT),
        "--seed",
        "1" if EFFORT == 1 else str(EFFORT),
        "--no-color",
        *arguments,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8_000:]
    return output
