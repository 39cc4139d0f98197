"""To test with plain Python: ``python -m unittest``.

For contracts there is a realm in memory. It keeps the rules that a contract can notice: limits of
keys and values, queries that cannot write, a failed call that leaves nothing behind, calls between
programs. For actors there is a stage: it keeps to the order in which a realm asks the contracts
and delivers what is sent. Neither counts fuel or memory, both grant everything, and a module is
imported once: a global that one call changes stays changed here, and not on a node.
"""

from althing._errors import Error, Kind
from althing.testing._ed25519 import SigningKey
from althing.testing._realm import Context, Event, Line, Realm
from althing.testing._stage import Letter, Sent, Stage

__all__ = [
    "Context",
    "Error",
    "Event",
    "Kind",
    "Letter",
    "Line",
    "Realm",
    "Sent",
    "SigningKey",
    "Stage",
]
