"""What subscriptions make messages of."""

import binascii
import enum
from typing import Any, NamedTuple

from althing._schema import Schema

EVENT: Schema = {
    "type": "object",
    "properties": {
        "event": {
            "type": "object",
            "properties": {
                "program": {"type": "string"},
                "topic": {"type": "string"},
                "index": {"type": "integer", "minimum": 0},
                "data": True,
                "data_text": {"type": "string"},
                "data_base64": {"type": "string"},
                "truncated": {"type": "boolean"},
            },
            "required": ["program", "topic", "index"],
            "additionalProperties": False,
        }
    },
    "required": ["event"],
    "additionalProperties": False,
}
"""The schema of a message that a subscription makes: ``{"event": {...}}``, with the program that
emitted it, its topic, the entry's index, and ``data`` when they are JSON, ``data_text`` when they are
another text, ``data_base64`` when they are no text, or ``truncated`` when they are too long."""


class NoValue(enum.Enum):
    """Why there is no value in a :class:`Change`."""

    DELETED = "deleted"
    """The key is gone."""
    TOO_LONG = "too long"
    """It has a value, which is longer than a message."""


class Change(NamedTuple):
    """A key that changed. Texts are ``str``, what is no text is ``bytes``."""

    key: str | bytes
    value: str | bytes | NoValue


def kv(event: dict[str, Any]) -> Change | None:
    """The key that changed, if ``event``, of a message that fits :data:`EVENT`, is about one."""
    data = event.get("data")
    if (event["program"], event["topic"]) != ("sys", "kv") or not isinstance(data, dict):
        return None
    key = _text_or_bytes(data, "key")
    value: str | bytes | NoValue | None = _text_or_bytes(data, "value")
    if value is None and "value" in data and data["value"] is None:
        value = NoValue.DELETED
    elif value is None and event.get("truncated"):
        value = NoValue.TOO_LONG
    if key is None or value is None:
        return None
    return Change(key, value)


def _text_or_bytes(data: dict[str, Any], name: str) -> str | bytes | None:
    text, base64 = data.get(name), data.get(f"{name}_base64")
    if isinstance(text, str):
        return text
    try:
        return binascii.a2b_base64(base64) if isinstance(base64, str) else None
    except binascii.Error:
        return None
