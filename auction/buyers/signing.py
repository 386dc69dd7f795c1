"""Standard Webhooks signatures, so that a buyer can tell our requests from anybody else's, and we a buyer's postbacks.

The scheme is https://www.standardwebhooks.com: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
Made with `hmac` directly: a signature per buyer and ping has to cost microseconds.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

from auction.errors import OperatorError
from auction.settings import is_of_the_house

_PREFIX = "whsec_"
_ENV = "env:"
_MOST_DIGITS = 12
TOLERANCE_S = 300
"""How far the time of a message may lie from ours, as Standard Webhooks recommends."""
MOST_ID = 256
MOST_SIGNATURES = 16
"""A sender that changes its secret signs with both for a while."""


class Signer:
    """Signs with one buyer's secret: `whsec_` and base64, or the base64 alone."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        """Raises `OperatorError` for a secret that is not base64."""
        try:
            self._key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            self._key = b""
        if not self._key:
            raise OperatorError(
                "signing_secret", "a signing_secret is whsec_ and base64; make one of 24 to 64 bytes"
            )

    def headers(self, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """The three headers for one message. A retry keeps its `message_id`."""
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        digest = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": f"v1,{digest}",
        }

    def signed(self, headers: Mapping[bytes, bytes], body: bytes, now_s: int) -> bool:
        """Whether these headers sign this body, at about this time. Which of it failed, nobody is told."""
        message_id = headers.get(b"webhook-id", b"")
        stamp = headers.get(b"webhook-timestamp", b"")
        given = headers.get(b"webhook-signature", b"").split(b" ")
        if not 0 < len(message_id) <= MOST_ID or not stamp.isdigit() or len(stamp) > _MOST_DIGITS:
            return False
        if abs(now_s - int(stamp)) > TOLERANCE_S or len(given) > MOST_SIGNATURES:
            return False
        digest = hmac.digest(self._key, b"%b.%b.%b" % (message_id, stamp, body), "sha256")
        ours = b"v1," + base64.b64encode(digest)
        return any(hmac.compare_digest(ours, one) for one in given)

    def lines(self, message_id: str, timestamp_s: int, body: bytes) -> bytes:
        """The same as header lines for `Fanout.ask`."""
        headers = self.headers(message_id, timestamp_s, body)
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii")


def resolve_secret(text: str, environ: Mapping[str, str]) -> str:
    """`text`, or what the environment holds for `env:NAME`. Raises `OperatorError` if that is not set, or is one of the
    house's own settings: whoever may write a buyer's headers must not have the secret key sent to them."""
    if not text.startswith(_ENV):
        return text
    name = text.removeprefix(_ENV)
    if is_of_the_house(name):
        raise OperatorError(
            "secret", f"the environment variable {name} is a setting of the house; take another"
        )
    value = environ.get(name)
    if not value:
        raise OperatorError(
            "secret", f"the environment variable {name} is not set; the catalogue says {text}"
        )
    return value
