"""Calls that are made while a component is built, so that none of the later ones is the first.

What Python does once is then part of the image: the modules that showing a traceback imports, the
instructions of the interpreter that adapt to the types they see.
"""

import gc
from typing import Any

from althing import _contract, _host
from althing._args import U64
from althing._contract import APPLY, QUERY, Contract, Refused, call, query
from althing._errors import Error, ensure

#: Calls after which the interpreter has adapted.
ROUNDS = 32


class _Silent:
    """A host that only takes log lines, and drops them."""

    def log(self, level: str, text: str) -> None:
        """Drops a line."""


class _Play(Contract):
    @call
    def plain(self, name: str = "", by: U64 = 1, more: dict[str, list[float]] | None = None) -> Any:
        ensure(by, "nothing")
        return [[name, by], {"more": more}]

    @query
    def refused(self, text: str) -> None:
        raise Error(text)

    @query
    def defect(self, text: str) -> None:
        raise ValueError(text)


_ACTS = [
    (APPLY, "plain", b""),
    (APPLY, "plain", b'{"name":"a","by":2,"more":{"b":[1,2.5]}}'),
    (APPLY, "plain", b'{"by":-1}'),
    (APPLY, "plain", b'{"of":1}'),
    (APPLY, "plain", b"{"),
    (APPLY, "none", b""),
    (QUERY, "refused", b'{"text":"no"}'),
    (QUERY, "defect", b'{"text":"no"}'),
]


def rehearse() -> None:
    """Plays everything."""
    before = _host.enter(_Silent())  # type: ignore[arg-type]
    try:
        for _ in range(ROUNDS):
            for act in _ACTS:
                try:
                    _contract.run(_Play, *act)
                except Refused:
                    pass
    finally:
        _host.enter(before)
    # What lives in the image lives as long as a call: no collector needs to look at it again.
    gc.collect()
    gc.freeze()
