"""Lines for people: ``althing logs PROGRAM`` shows them. They are no part of the state.

A call may log 16 KiB; the rest is dropped. What a contract prints goes there too.
"""

from althing._host import host

__all__ = ["debug", "error", "info", "warn"]


def debug(text: str) -> None:
    """For who looks for a defect."""
    host().log("debug", text)


def info(text: str) -> None:
    """What happened."""
    host().log("info", text)


def warn(text: str) -> None:
    """Something is odd."""
    host().log("warn", text)


def error(text: str) -> None:
    """Something failed."""
    host().log("error", text)
