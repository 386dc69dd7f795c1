"""`python -m buyers_mock`, as a process."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loadtest.processes import Process

ROOT = Path(__file__).parents[2]
LINE = r"^buyers_mock listens on (\S+) with (\d+) buyers?$"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "buyers_mock", *map(str, arguments)]


def ping(url: str, context: ssl.SSLContext | None = None) -> object:
    asked = urllib.request.Request(
        f"{url}/sunrise/ping", data=b"{}", headers={"authorization": "Bearer demo-sunrise"}
    )
    with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
        return json.loads(answer.read() or b"{}")


def test_it_plays_the_demo_says_where_and_ends_cleanly(tmp_path: Path) -> None:
    with Process(command("--port", 0), tmp_path / "log", cwd=ROOT) as mock:
        found = mock.wait_for_line(LINE)
        assert found[2] == "12"
        ping(found[1])
        assert mock.end() == 0
        assert mock.printed().count("\n") == 1


def test_a_port_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = subprocess.run(
            command("--port", other.getsockname()[1]),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the port is taken: stop who has it, or give another --port\n"


def test_it_speaks_tls(tmp_path: Path) -> None:
    script = tmp_path / "buyers.yaml"
    script.write_text("buyers: {sunrise: {bid: {price: 9}}}", encoding="utf-8")
    cert, key = make_certificate(tmp_path)
    arguments = (script, "--port", 0, "--tls-cert", cert, "--tls-key", key)
    with Process(command(*arguments), tmp_path / "log", cwd=ROOT) as mock:
        url = mock.wait_for_line(LINE)[1]
        assert url.startswith("https://")
        assert ping(url, ssl.create_default_context(cafile=str(cert))) == {
            "bid": 9.0,
            "bid_id": "sunrise-1",
            "expires_in": 60,
        }


def test_mistakes_are_named_and_nothing_is_played(tmp_path: Path) -> None:
    script = tmp_path / "buyers.yaml"
    script.write_text("buyers: {a: {bid: {prise: 9}}, b: {post: {accept: 3}}}", encoding="utf-8")
    with Process(command(script, "--port", 0), tmp_path / "log", cwd=ROOT) as mock:
        assert mock.wait(20) == 1
        assert "a.bid.prise: not known; did you mean `price`?" in mock.printed()
        assert "b.post.accept: " in mock.printed()
        assert "Traceback" not in mock.printed()


def test_a_file_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    with Process(command(tmp_path / "none.yaml"), tmp_path / "log", cwd=ROOT) as mock:
        assert mock.wait(20) == 1
        assert "none.yaml" in mock.printed()
        assert "Traceback" not in mock.printed()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mock")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file
