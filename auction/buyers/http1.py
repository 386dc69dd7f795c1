"""HTTP/1.1 as a buyer's client needs it, without I/O: frames requests, reads responses.

The bytes are read by llhttp (through httptools). Headers are not looked at: llhttp itself acts on the few
that matter (Content-Length, Transfer-Encoding, Connection), and a callback per header would cost as much as
all the rest of the response. Only a response that ends with the connection needs a second look; it is read
again, with its headers.

What is refused, always as a `BuyerError` whose code is a `Reason`: what llhttp refuses and a switch of
protocols (`BAD_HTTP`); a body above `body_limit`, or more than `head_limit` bytes that are not body
(`TOO_LARGE`): heads, the framing of chunks, informational responses, and whatever follows the response.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from auction.errors import BuyerError
from auction.market.reasons import Reason

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 64 * 1024


def request_head(method: str, host: str, path: str, headers: Mapping[str, str]) -> bytes:
    """A request up to where its length goes: make it once per endpoint, and `frame` every body with it.

    `host` is the Host header (with the port where it is not the scheme's own). The caller has checked that
    no part holds a control character.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")


def frame(head: bytes, body: bytes, lines: bytes = b"") -> bytes:
    """One whole request. `lines` are headers of this request alone, each ended by CRLF."""
    return b"%b%d\r\n%b\r\n%b" % (head, len(body), lines, body)


class ResponseReader:
    """Reads the responses of one connection, one after the other.

    `feed` what was received; when it returns True, `status`, `body` and `keep_alive` hold the response, and
    the reader is ready for the next one. `keep_alive` is False where the connection must not be used again:
    the server said so, or something followed the response.
    """

    __slots__ = (
        "_body_limit",
        "_chunks",
        "_fed",
        "_head_limit",
        "_parser",
        "_raw",
        "_whole",
        "body",
        "keep_alive",
        "on_body",
        "on_message_begin",
        "status",
    )

    def __init__(self, head_limit: int = HEAD_LIMIT, body_limit: int = BODY_LIMIT) -> None:
        self._head_limit = head_limit
        self._body_limit = body_limit
        self.status = 0
        self.body = b""
        self.keep_alive = False
        self._whole = False
        self._fed = 0
        self._raw: list[bytes] = []  # all that was fed of a response that did not come in one piece
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        self.on_message_begin = partial(self._chunks.append, b"")  # a mark that costs no frame of ours
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    @property
    def started(self) -> bool:
        """Whether a byte of the awaited response has come."""
        return bool(self._raw)

    def feed(self, data: bytes) -> bool:
        """Reads on; True when the response is whole. Raises `BuyerError`."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._whole:
                raise BuyerError(Reason.BAD_HTTP, str(error)) from None
            self.keep_alive = False  # garbage behind a good response
        if not self._whole:
            self._keep(data)
            return False
        self._whole = False
        if self._chunks:  # a second response has begun
            self._chunks.clear()
            self.keep_alive = False
        if self._fed or len(data) > self._head_limit:
            self._end(self._fed + len(data))
        return True

    def eof(self) -> bool:
        """The server closed: True if that is what ended the response; else there is none."""
        if not self._raw or not _ends_with_connection(b"".join(self._raw)):
            return False
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self.body = b"".join(self._chunks)
        self.keep_alive = False
        return True

    def close(self) -> None:
        """Lets go of the parser, which holds this reader: no cycle is left for the collector."""
        self._parser = None

    def on_message_complete(self) -> None:
        """Called by the parser, also for every informational (1xx) response."""
        parser, chunks = self._parser, self._chunks
        assert parser is not None
        if self._whole:
            chunks.append(b"")  # seen by `feed`: more than one response
            return
        status = parser.get_status_code()
        if status >= 200:
            self.status = status
            self.body = b"".join(chunks)
            self.keep_alive = parser.should_keep_alive()
            self._whole = True
        elif status == 101:
            raise BuyerError(Reason.BAD_HTTP, "switches protocols unasked")
        chunks.clear()

    def _keep(self, data: bytes) -> None:
        self._fed += len(data)
        self._raw.append(data)
        if self._fed > self._head_limit:
            self._chunks[:] = [b"".join(self._chunks)]
            self._check(self._fed, len(self._chunks[0]))

    def _end(self, fed: int) -> None:
        """The end of a response that is large, or came in pieces: `fed` bytes in all."""
        self._raw.clear()
        self._fed = 0
        self._check(fed, len(self.body))

    def _check(self, fed: int, body: int) -> None:
        if body > self._body_limit:
            raise BuyerError(Reason.TOO_LARGE, f"the body is above {self._body_limit} bytes")
        if fed - body > self._head_limit:
            raise BuyerError(Reason.TOO_LARGE, f"the head is above {self._head_limit} bytes")


class _Headers:
    """What one needs to know of a head to tell whether its body is as long as the connection."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.complete = False
        self.framed = False

    def on_message_begin(self) -> None:
        self.complete = self.framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length" or (
            name == b"transfer-encoding" and value.lower().rstrip().endswith(b"chunked")
        ):
            self.framed = True

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_message_complete(self) -> None:
        self.complete = False  # an informational response: the one that counts has not begun


def _ends_with_connection(response: bytes) -> bool:
    headers = _Headers()
    headers.parser.feed_data(response)  # never raises: these bytes have been read before
    del headers.parser
    return headers.complete and not headers.framed
