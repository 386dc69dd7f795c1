"""Settings: flag before environment before default, and every mistake named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import OperatorError
from auction.settings import ALL, SECRETS, Settings, read_settings, to_environ, variable_of


def mistakes(environ: dict[str, str], flags: dict[str, Any] | None = None) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(OperatorError) as refused:
        read_settings(environ, flags or {})
    assert refused.value.code == "bad_settings"
    return refused.value.detail.splitlines()


def test_a_flag_goes_before_the_environment_and_that_before_the_default() -> None:
    environ = {"AUCTION_PORT": "81", "AUCTION_WORKERS": "3", "PATH": "/bin"}
    read = read_settings(environ, {"port": "82", "host": None})
    assert (read.port, read.workers, read.host) == (82, 3, "127.0.0.1")


def test_a_variable_that_is_empty_is_not_set_but_a_flag_has_to_say_something() -> None:
    assert read_settings({"AUCTION_PORT": "", "AUCTION_REDIS_URL": ""}, {}) == Settings()
    assert mistakes({}, {"data_dir": " "}) == ["--data-dir: expected a value, was ' '"]


def test_each_kind_is_read() -> None:
    environ = {
        "AUCTION_DATA_DIR": "/srv/auction",
        "AUCTION_ALLOW_PRIVATE_BUYERS": "Yes",
        "AUCTION_LOG_LEVEL": "WARNING",
        "AUCTION_CLOCK_OFFSET_MS": "-5000",
        "AUCTION_REDIS_URL": " redis://h ",
    }
    assert read_settings(environ, {}) == Settings(
        data_dir=Path("/srv/auction"),
        allow_private_buyers=True,
        log_level="warning",
        clock_offset_ms=-5000,
        redis_url="redis://h",
    )


def test_every_mistake_is_named_at_once_with_what_to_write() -> None:
    environ = {
        "AUCTION_PORT": "abc",
        "AUCTION_WORKERS": "0",
        "AUCTION_ALLOW_PRIVATE_BUYERS": "perhaps",
        "AUCTION_LOG_LEVEL": "loud",
        "AUCTION_WORKER": "2",
        "AUCTION_Host": "::1",
        "AUCTION_FROBNICATE": "1",
        "NOT_OURS": "x",
    }
    assert mistakes(environ, {"port": "65536"}) == [
        "--port: expected a whole number from 0 to 65535, was '65536'",
        "AUCTION_ALLOW_PRIVATE_BUYERS: expected 1 or 0, was 'perhaps'",
        "AUCTION_FROBNICATE: no such setting",
        "AUCTION_Host: no such setting; did you mean AUCTION_HOST?",
        "AUCTION_LOG_LEVEL: expected debug, info, warning or error, was 'loud'",
        "AUCTION_WORKER: no such setting; did you mean AUCTION_WORKERS?",
        "AUCTION_WORKERS: expected a whole number from 1 to 256, was '0'",
    ]


def test_a_check_of_another_room_is_one_mistake_more() -> None:
    def refuse(url: str) -> None:
        raise OperatorError("bad", "AUCTION_REDIS_URL is not an URL")

    with pytest.raises(OperatorError) as refused:
        read_settings({"AUCTION_REDIS_URL": "x", "AUCTION_PORT": "x"}, {}, {"redis_url": refuse})
    assert refused.value.detail.splitlines() == [
        "AUCTION_PORT: expected a whole number from 0 to 65535, was 'x'",
        "AUCTION_REDIS_URL: is not an URL",
    ]


def test_secrets_are_never_shown() -> None:
    said = mistakes(dict.fromkeys(map(variable_of, SECRETS), " ") | {"AUCTION_PORT": "x"})
    assert len(said) == len(SECRETS) + 1
    assert not any("was" in line for line in said if "PORT" not in line)
    shown = repr(Settings(port=81, **dict.fromkeys(SECRETS, "s3cret")))  # type: ignore[arg-type]
    assert "s3cret" not in shown
    assert shown.count("(hidden)") == len(SECRETS)
    assert "port=81" in shown


@pytest.mark.parametrize("name", ALL)
def test_every_setting_has_a_sentence_for_help(name: str) -> None:
    sentence = ALL[name].meta.description
    assert sentence is not None
    assert sentence.endswith(".")


WHOLE = [name for name, setting in ALL.items() if setting.kind is int]


@given(name=st.sampled_from(WHOLE), text=st.text(max_size=30) | st.integers().map(str))
def test_any_text_is_a_number_within_bounds_or_is_refused(name: str, text: str) -> None:
    bounds = ALL[name].meta
    assert bounds.ge is not None
    assert bounds.le is not None
    try:
        value = getattr(read_settings({}, {name: text}), name)
    except OperatorError:
        return
    assert bounds.ge <= value <= bounds.le
    assert int(text) == value


TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(
    st.builds(
        Settings,
        host=TEXTS,
        port=st.integers(0, 65_535),
        data_dir=TEXTS.map(Path),
        redis_url=st.none() | TEXTS,
        secret_key=st.none() | TEXTS,
        allow_private_buyers=st.booleans(),
        log_level=st.sampled_from(["debug", "info", "warning", "error"]),
        clock_offset_ms=st.integers(-(10**12), 10**12),
    )
)
def test_a_worker_reads_from_its_environment_what_its_parent_has(settings: Settings) -> None:
    assert read_settings(to_environ(settings), {}) == settings
