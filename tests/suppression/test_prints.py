from __future__ import annotations

from collections.abc import Callable
from hashlib import md5, sha256
from typing import Any

import pytest

from auction.suppression.prints import Form, Prints

PRINTS = Prints(b"k" * 32)


@pytest.mark.parametrize(("form", "hash_of"), [("sha256", sha256), ("md5", md5)])
def test_a_value_and_its_hash_have_one_print(form: Form, hash_of: Callable[[bytes], Any]) -> None:
    digest = hash_of(b"+15125550142").hexdigest()
    assert PRINTS.of_value("+15125550142", form) == PRINTS.of_hash(digest, form)
    assert PRINTS.of_hash(digest.upper(), form) == PRINTS.of_hash(digest, form)
    assert 0 <= PRINTS.of_hash(digest, form) < 2**64


def test_other_keys_forms_and_values_have_other_prints() -> None:
    value = "+15125550142"
    others = [
        Prints(b"j" * 32).of_value(value, "sha256"),
        PRINTS.of_value(value, "md5"),
        PRINTS.of_value("+15125550143", "sha256"),
    ]
    assert PRINTS.of_value(value, "sha256") not in others


@pytest.mark.parametrize("text", ["", "5125550142", "g" * 64, "a" * 63, "a" * 65, "\uff41" * 64])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected the sha256"):
        PRINTS.of_hash(text, "sha256")
