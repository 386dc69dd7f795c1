"""The programs of the benchmark: buyers that answer, and fan-outs that ask all of them."""

from __future__ import annotations

import json
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.bench import building, certificates
from loadtest.bench.book import Ports
from loadtest.bench.building import BuildError
from loadtest.bench.buyers import Buyers, running_buyers
from loadtest.bench.certificates import Certificates
from loadtest.bench.contenders import AIOHTTP, FLOOR, GO, reference
from loadtest.bench.machine import cores

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="epoll and CPU clocks are Linux's"),
]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture
def trust(tmp_path: Path) -> Certificates:
    return certificates.make(tmp_path)


@contextmanager
def in_python(folder: Path, trust: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buyers]:
    def cannot() -> tuple[Path, bool]:
        raise BuildError("no compiler")

    monkeypatch.setattr(building, "buyers", cannot)
    with running_buyers(folder, trust) as buyers:
        yield buyers


@pytest.fixture(params=[pytest.param("c", marks=needs_compiler), "python"])
def buyers(
    request: pytest.FixtureRequest, tmp_path: Path, trust: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Buyers]:
    """Both kinds, which nobody can tell apart."""
    if request.param == "c":
        with running_buyers(tmp_path, trust) as running:
            yield running
    else:
        with in_python(tmp_path, trust, monkeypatch) as running:
            yield running


def posted(url: str, body: bytes = b"{}", trust: Certificates | None = None) -> dict[str, object]:
    context = ssl.create_default_context(cafile=str(trust.ca)) if trust else None
    with urllib.request.urlopen(url, data=body, timeout=5, context=context) as answer:
        said = json.load(answer)
    assert isinstance(said, dict)
    return said


def test_buyers_bid_and_take_leads(buyers: Buyers) -> None:
    bids = [posted(f"http://127.0.0.1:{port}/ping") for port in buyers.ports.plain[:20]]
    prices = [bid["bid"] for bid in bids]
    assert all(isinstance(price, float) and 20 <= price < 40 for price in prices)
    assert len(set(prices)) > 10
    assert posted(f"http://127.0.0.1:{buyers.ports.plain[49]}/post")["status"] == "accepted"
    assert buyers.asked() == 21
    assert buyers.asked() == 21  # the question itself does not count


def test_buyers_speak_tls(buyers: Buyers, trust: Certificates) -> None:
    if not buyers.ports.tls:
        pytest.skip("built without OpenSSL")
    assert "bid" in posted(f"https://127.0.0.1:{buyers.ports.tls[9]}/ping", trust=trust)


def test_silent_buyers_take_a_request_and_say_nothing(buyers: Buyers) -> None:
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"http://127.0.0.1:{buyers.ports.silent[2]}/ping", data=b"{}", timeout=0.2)
    assert "bid" in posted(f"http://127.0.0.1:{buyers.ports.plain[0]}/ping")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(FLOOR, marks=needs_compiler),
        AIOHTTP,
        # its standard library is compiled first where nothing has been built yet
        pytest.param(
            GO, marks=[pytest.mark.timeout(300), pytest.mark.skipif(not shutil.which("go"), reason="no Go")]
        ),
    ],
)
def test_a_reference_asks_as_many_buyers_as_it_is_told(
    name: str, buyers: Buyers, tmp_path: Path, trust: Certificates
) -> None:
    with reference(name, tmp_path, buyers.ports, trust.ca, cores()) as running:
        for count in (1, 3, 50, 10, 10):
            before = buyers.asked()
            assert posted(f"http://127.0.0.1:{running.port}/{count}") == {"answers": count}
            assert buyers.asked() == before + count
            assert running.expected(count) in b'{"answers":%d}' % count
        if name != FLOOR and buyers.ports.tls:
            assert posted(f"http://127.0.0.1:{running.port}/tls/10") == {"answers": 10}


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for build in (building.floor, building.buyers, building.go_fanout):
        with pytest.raises(BuildError, match="on the PATH"):
            build()


@needs_compiler
def test_what_was_built_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = building.floor()
    assert program.is_relative_to(tmp_path)
    built_at = program.stat().st_mtime_ns
    assert building.floor() == program
    assert program.stat().st_mtime_ns == built_at
    assert [path.name for path in program.parent.iterdir()] == [program.name]


@needs_compiler
def test_a_source_that_does_not_compile_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "SOURCES", tmp_path)
    (tmp_path / "floor.c").write_text("this is no C")
    (tmp_path / "wire.h").write_text("")
    with pytest.raises(BuildError, match=r"floor\.c"):
        building.floor()


def test_ports_of_both_kinds_are_read_alike() -> None:
    assert Ports((1,), (2,), (3,)) == Ports(plain=(1,), silent=(2,), tls=(3,))
