"""Events: what happened, for those who follow the realm."""

from typing import Any

from althing._contract import encode
from althing._host import host

__all__ = ["emit"]


def emit(topic: str, data: Any = None) -> None:
    """Emits an event. It is delivered once the entry is applied, if the call succeeds.

    ``data`` are bytes as they are, anything else as JSON. A topic has at most 256 bytes; a call may
    emit 256 events, and with its output 64 KiB. Refused in a query.
    """
    host().emit(topic, encode(data, f"data of event {topic}"))
