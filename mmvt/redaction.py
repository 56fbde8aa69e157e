"""Keeps secrets out of what is written and printed.

A secret is the value of an environment variable whose name says so, such as ``HF_TOKEN``, and the
password within an address. The first is replaced by the reference ``${oc.env:HF_TOKEN}``, which a
configuration resolves again when it is used. Only the standard library is used: the set-up command
runs this before anything is installed.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

SHORTEST = 8  # a shorter value is in any text by chance
_VARIABLE = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN(?!IZ)|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY",
    re.IGNORECASE,
)
# not num_tokens, nor pad_token
_KEY = re.compile(
    r"(?:.*_)?(?:password|passwd|passphrase|secret|credentials?|(?:api|access|private|secret)_?key"
    r"|(?:auth|access|api|hf|bearer)_?token)|token",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+(?=@)")
_REFERENCE = re.compile(r"\$\{[^${}]+\}")


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the secrets of an environment, by default the process's: value → name, longest first.

    A longer secret may hold a shorter one.
    """
    found = os.environ if environment is None else environment
    names = {
        value: name
        for name, value in sorted(found.items(), reverse=True)
        if _VARIABLE.search(name) and len(value) >= SHORTEST
    }
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return text with references in place of secrets, and ``***`` for passwords in addresses."""
    for value, name in secrets(environment).items():
        text = text.replace(value, f"${{oc.env:{name}}}")
    return _ADDRESS.sub(r"\1:***", text)


def without_secrets(data: Any) -> Any:
    """Return plain containers with references in place of the environment's secrets."""
    known = secrets()
    return _referred(data, known) if known else data


def _referred(data: Any, known: Mapping[str, str]) -> Any:
    if isinstance(data, Mapping):
        return {key: _referred(value, known) for key, value in data.items()}
    if isinstance(data, list):
        return [_referred(value, known) for value in data]
    if isinstance(data, str):
        for value, name in known.items():
            data = data.replace(value, f"${{oc.env:{name}}}")
    return data


def holds_secret(key: str, value: Any) -> bool:
    """Return whether a setting is a secret that is written out: by its key, or as an address."""
    if not isinstance(value, str) or not value:
        return False
    if _ADDRESS.search(_REFERENCE.sub("", value)):
        return True
    return _KEY.fullmatch(key) is not None and _REFERENCE.fullmatch(value) is None


class RedactingFormatter(logging.Formatter):
    """Formats log records without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without secrets."""
        return redacted(super().format(record))
