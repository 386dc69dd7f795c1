from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from auction.buyers.signing import Signer, resolve_secret
from auction.errors import OperatorError

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes or so").decode()


@given(
    st.binary(min_size=1, max_size=64),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789:-_", min_size=1),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
def test_the_reference_library_verifies(key: bytes, message_id: str, content: dict[str, int]) -> None:
    secret = base64.b64encode(key).decode()
    body = json.dumps(content)
    headers = Signer("whsec_" + secret).headers(message_id, int(time.time()), body.encode())
    assert Webhook(secret).verify(body, headers) == content


def test_another_body_does_not_verify() -> None:
    headers = Signer(SECRET).headers("m", int(time.time()), b"{}")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify('{"a":1}', headers)


def test_lines_say_the_same_as_headers() -> None:
    signer = Signer(SECRET)
    lines = signer.lines("m:1", 1_700_000_000, b"{}").decode()
    assert dict(line.split(": ") for line in lines.split("\r\n") if line) == signer.headers(
        "m:1", 1_700_000_000, b"{}"
    )
    assert lines.endswith("\r\n")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "ü"])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(OperatorError):
        Signer(secret)


def test_secrets_from_the_environment() -> None:
    assert resolve_secret("plain", {}) == "plain"
    assert resolve_secret("env:KEY", {"KEY": "k"}) == "k"
    for environ in ({}, {"KEY": ""}):
        with pytest.raises(OperatorError, match="KEY"):
            resolve_secret("env:KEY", environ)


@pytest.mark.parametrize("name", ["AUCTION_SECRET_KEY", "AUCTION_DATABASE_URL", "auction_secret_key"])
def test_what_is_the_houses_own_is_nobodys_secret(name: str) -> None:
    """Who may write a buyer would have it sent to a URL of theirs."""
    with pytest.raises(OperatorError, match="setting of the house"):
        resolve_secret(f"env:{name}", {name: "k"})
