"""Tests of what is a secret, and of what stands in its place."""

from __future__ import annotations

import logging

import pytest

from mmvt.redaction import (
    RedactingFormatter,
    holds_secret,
    redacted,
    secrets,
    without_secrets,
)

TOKEN = "hf_abcdefgh12345"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "WANDB_API_KEY", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "my_secret"]
)
def test_a_variable_is_a_secret_by_its_name(name: str):
    assert secrets({name: "a" * 8}) == {"a" * 8: name}


@pytest.mark.parametrize(
    ("name", "value"),
    [("TOKENIZERS_PARALLELISM", "false" * 2), ("HOME", "/home/someone"), ("HF_TOKEN", "a" * 7)],
)
def test_other_variables_and_short_values_are_none(name: str, value: str):
    assert secrets({name: value}) == {}


def test_the_longer_of_two_secrets_goes_first():
    environment = {"A_TOKEN": "a" * 8, "B_TOKEN": "a" * 9}
    assert redacted("x" + "a" * 9, environment) == "x${oc.env:B_TOKEN}"


def test_text_and_containers_hold_references_instead():
    assert redacted(f"a={TOKEN}!") == "a=${oc.env:HF_TOKEN}!"
    data = {"a": [TOKEN, 1], "b": {"c": f"x{TOKEN}"}, "d": None}
    assert without_secrets(data) == {
        "a": ["${oc.env:HF_TOKEN}", 1],
        "b": {"c": "x${oc.env:HF_TOKEN}"},
        "d": None,
    }


def test_passwords_of_addresses_go():
    assert redacted("from s3://me:pass@host/a:b@c") == "from s3://me:***@host/a:b@c"
    assert redacted("http://host:80/a@b") == "http://host:80/a@b"


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        ("password", "x", True),
        ("db_password", "x", True),
        ("api_key", "x", True),
        ("hf_token", "x", True),
        ("token", "x", True),
        ("token", "${oc.env:HF_TOKEN}", False),
        ("token", "x${oc.env:HF_TOKEN}", True),
        ("token", None, False),
        ("token", "", False),
        ("num_tokens", "x", False),
        ("pad_token", "[PAD]", False),
        ("key", "x", False),
        ("url", "s3://a:b@c", True),
        ("url", "s3://a:${oc.env:P}@c", False),
        ("url", "s3://a@c:1", False),
        ("secret_weight", "x", False),
    ],
)
def test_a_setting_is_a_secret_by_its_key_or_as_an_address(
    key: str, value: str | None, secret: bool
):
    assert holds_secret(key, value) is secret


def test_log_lines_and_their_tracebacks_are_without_secrets():
    formatter = RedactingFormatter("%(message)s")
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("a", logging.INFO, "a", 1, "got %s", (TOKEN,), info)
    text = formatter.format(record)
    assert TOKEN not in text
    assert text.startswith("got ${oc.env:HF_TOKEN}\nTraceback")
    assert text.endswith("ValueError: ${oc.env:HF_TOKEN}")
