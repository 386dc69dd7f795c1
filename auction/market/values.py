"""How a value of each field type is read: from what a sender wrote to the one spelling that is kept.

Every reader takes any JSON value and gives the normalised one, or raises `FieldError` with a short sentence
saying what was expected. Most values arrive already normal, so each reader tries that first. A `bool` is
never a number here, though Python says it is.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from urllib.parse import urlsplit

MOST_INTEGER = 10**12
MOST_NUMBER = 1e15
MOST_EMAIL = 254
MOST_URL = 2048
MOST_PHONE = 32

_DIGITS = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
_ZIP = re.compile(r"([0-9]{5})(?:-[0-9]{4})?")
_US_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_PHONE_PUNCTUATION = str.maketrans("", "", " \t-.()/\u00a0\u2010\u2011\u2013")
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9]))"
)
_MOST_LOCAL = 64
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ISO_DATE_LENGTH = 10
_MOST_MARKS = 30
"""On one letter, as Unicode's Stream-Safe Text Format has it (UAX #15, 13): to put n marks in order takes n² steps."""
# Control characters and halves of surrogate pairs.
_NOT_TEXT = frozenset({"Cc", "Cs"})


class FieldError(ValueError):
    """One value is not of its field's type: a short sentence says what was expected."""


def read_text(value: object) -> str:
    """Trimmed, NFC, at least one character, no control characters, no letter under a heap of marks."""
    if not isinstance(value, str):
        raise FieldError("expected text")
    text = value.strip()
    if not text.isascii():
        if _has_heap_of_marks(text):
            raise FieldError(f"expected text with at most {_MOST_MARKS} marks on a letter")
        text = unicodedata.normalize("NFC", text)
    if not text:
        raise FieldError("expected text that is not empty")
    if not text.isprintable() and any(unicodedata.category(char) in _NOT_TEXT for char in text):
        raise FieldError("expected text without control characters")
    return text


def _has_heap_of_marks(text: str) -> bool:
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MOST_MARKS:
            return True
    return False


def read_integer(value: object) -> int:
    """A whole number of at most 10**12, up or down; digits as text and `5.0` will do."""
    if value.__class__ is int:
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and _DIGITS.fullmatch(text := value.strip()):
        number = int(text)
    else:
        raise FieldError("expected a whole number")
    if not -MOST_INTEGER <= number <= MOST_INTEGER:
        raise FieldError("expected a whole number of at most 12 digits")
    return number


def read_number(value: object) -> float:
    """A finite number; decimals as text will do. Always a float, so that one number has one spelling."""
    if value.__class__ is float or value.__class__ is int:
        number = value
    elif isinstance(value, str) and _DECIMAL.fullmatch(text := value.strip()):
        number = float(text)  # of the stripped text: what strip takes off, float may not
    else:
        raise FieldError("expected a number")
    if not -MOST_NUMBER <= number <= MOST_NUMBER:  # also false for NaN
        raise FieldError("expected a finite number of at most 15 digits")
    return float(number) + 0.0  # + 0.0: there is no minus zero


def read_boolean(value: object) -> bool:
    """true or false; as text also yes, no, 1, 0."""
    if isinstance(value, bool):
        return value
    truth = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    if truth is None:
        raise FieldError("expected true or false")
    return truth


def read_date(value: object) -> str:
    """ISO text of `2026-01-31`, `01/31/2026` or a date object (YAML makes those)."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, str):
        text = value.strip()
        try:
            if american := _US_DATE.fullmatch(text):
                month, day, year = map(int, american.groups())
                return datetime.date(year, month, day).isoformat()
            if len(text) == _ISO_DATE_LENGTH and text[4] == text[7] == "-" and text.isascii():
                return datetime.date.fromisoformat(text).isoformat()
        except ValueError:
            pass
    raise FieldError("expected a date such as 2026-01-31")


def read_state(value: object) -> str:
    """The two-letter code of a state, DC or a territory, of its code or its name in any case."""
    if isinstance(value, str):
        code = _STATES.get(value) or _STATES.get(" ".join(value.split()).upper())
        if code is not None:
            return code
    raise FieldError("expected a US state such as TX")


def read_zip(value: object) -> str:
    """Five digits of five digits, of ZIP+4, or of a number that lost its leading zeros."""
    if isinstance(value, str):
        if len(value) == 5 and value.isascii() and value.isdigit():
            return value
        if full := _ZIP.fullmatch(value.strip()):
            return full[1]
    elif value.__class__ is int and 501 <= value <= 99950:
        return f"{value:05d}"
    raise FieldError("expected a US zip code of 5 digits, as text")


def read_phone(value: object) -> str:
    """E.164 text of ten digits (US), eleven with a leading 1, or a number that begins with `+`."""
    if not isinstance(value, str):
        raise FieldError("expected a phone number, as text")
    if len(value) > MOST_PHONE:
        raise FieldError(f"expected a phone number of at most {MOST_PHONE} characters")
    digits = value.translate(_PHONE_PUNCTUATION)
    international = digits.startswith("+")
    if international:
        digits = digits[1:]
    if not digits.isascii():
        raise FieldError("expected a phone number in the digits 0 to 9")
    if digits.isdigit():
        american = digits[0] == "1" if international else True
        if american and len(digits) == 11 and digits[0] == "1":
            return "+" + digits
        if not international and len(digits) == 10:
            return "+1" + digits
        if not american and digits[0] != "0" and 8 <= len(digits) <= 15:
            return "+" + digits
    raise FieldError("expected a phone number such as +15125550101")


def read_email(value: object) -> str:
    """One `@`, a name and a domain with a dot; the domain in lower case."""
    if isinstance(value, str):
        text = value.strip()
        # the length first: the pattern is only ever run on short text
        if len(text) <= MOST_EMAIL and (found := _EMAIL.fullmatch(text)):
            at = found.start(1)
            if at - 1 <= _MOST_LOCAL:
                return text[:at] + text[at:].lower()
    raise FieldError("expected an email address such as ann@example.com")


def read_url(value: object) -> str:
    """An http or https address with a host, trimmed and otherwise as it was."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= MOST_URL and text.isprintable() and " " not in text:
            try:
                parts = urlsplit(text)
                if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
                    return text
            except ValueError:
                pass
    raise FieldError("expected a web address such as https://example.com/page")


_NAMES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas
KY Kentucky|LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi
MO Missouri|MT Montana|NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York
NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island
SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia|WA Washington
WV West Virginia|WI Wisconsin|WY Wyoming|PR Puerto Rico|VI US Virgin Islands|VI Virgin Islands|GU Guam
AS American Samoa|MP Northern Mariana Islands
"""


def _states() -> dict[str, str]:
    codes = {}
    for entry in _NAMES.strip().replace("\n", "|").split("|"):
        code, _, name = entry.partition(" ")
        codes[code] = codes[name.upper()] = code
    return codes


_STATES = _states()
STATE_CODES = frozenset(_STATES.values())
