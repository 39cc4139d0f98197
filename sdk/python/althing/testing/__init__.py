"""A realm in memory, to test contracts with plain Python: ``python -m unittest``.

It keeps the rules that a contract can notice: limits of keys and values, queries that cannot write,
a failed call that leaves nothing behind, calls between programs. It does not count fuel or memory,
it grants every call, and a module is imported once: a global that one call changes stays changed
here, and not on a node.
"""

from althing._errors import Error, Kind
from althing.testing._ed25519 import SigningKey
from althing.testing._realm import Context, Event, Line, Realm

__all__ = ["Context", "Error", "Event", "Kind", "Line", "Realm", "SigningKey"]
