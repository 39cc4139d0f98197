"""Why a call fails."""

import enum
import re

#: Characters of an unexpected exception that become part of the outcome.
MESSAGE_CHARS_MAX = 512

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Kind(enum.Enum):
    """What kind of thing went wrong, in the vocabulary of every surface of Althing."""

    INVALID = "invalid"
    """The request is malformed or breaks a limit; sending it again is pointless."""
    NOT_FOUND = "not-found"
    """The thing named does not exist."""
    DENIED = "denied"
    """It is not allowed here."""
    CONFLICT = "conflict"
    """The state is not what the request assumed."""
    EXHAUSTED = "exhausted"
    """A limit on use is reached."""
    CONTRACT_VIOLATION = "contract-violation"
    """A contract of an actor refused."""
    GUEST_FAILED = "guest-failed"
    """A guest trapped or returned an error."""
    UNAVAILABLE = "unavailable"
    """This cannot be served now; later it may."""
    INTERNAL = "internal"
    """A defect of the machine."""


class Error(Exception):
    """Refuses a call. The text becomes the outcome: name the thing, the reason and the remedy.

    The text is part of the replicated state, so make it of nothing but arguments and state. What
    the host refuses is one too, and then has the host's kind.
    """

    def __init__(self, message: str, kind: Kind = Kind.GUEST_FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind


def ensure(condition: object, message: str) -> None:
    """Raises :class:`Error` with ``message`` unless the condition holds."""
    if not condition:
        raise Error(message)


def outcome_of(error: BaseException) -> str:
    """The text of an outcome: the own one of an :class:`Error`, else type and message.

    Addresses of objects are left out, and so is the name of a file that could not be opened: they
    say where the interpreter was built, not what went wrong.
    """
    if isinstance(error, Error):
        return error.message
    name = type(error).__name__
    try:
        text = error.strerror if isinstance(error, OSError) else str(error)
        text = _ADDRESS.sub("", text or "")
    except Exception:
        # A `__str__` of the contract's own, which fails as well.
        text = ""
    if len(text) > MESSAGE_CHARS_MAX:
        text = text[:MESSAGE_CHARS_MAX] + "..."
    return f"{name}: {text}" if text else name
