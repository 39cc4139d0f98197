"""Calls that are made while a component is built, so that none of the later ones is the first.

What Python does once is then part of the image: the modules that showing a traceback imports, the
instructions of the interpreter that adapt to the types they see.
"""

import gc
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from althing import _actor, _contract, _host
from althing._args import U64
from althing._contract import APPLY, QUERY, Contract, Refused, call, query
from althing._errors import Error, ensure
from althing.actor import Actor

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


class _Part(Actor):
    message_schema = {
        "oneOf": [
            {
                "type": "object",
                "properties": {"add": {"type": "integer", "minimum": 1}},
                "required": ["add"],
                "additionalProperties": False,
            },
            {"enum": ["fail"]},
        ]
    }
    state_schema = {
        "type": "object",
        "properties": {"sum": {"type": "number"}, "names": {"type": "array", "maxItems": 8}},
        "required": ["sum"],
        "additionalProperties": {"type": "string", "maxLength": 9},
    }

    def init(self) -> Any:
        return {"sum": 0}

    def handle(self, message: Any, state: Any) -> Any:
        ensure(message != "fail", "no")
        state["sum"] += message["add"]
        return state

    def state_contract(self, state: Any) -> bool:
        return bool(state["sum"] >= 0)


def _act(message: str, state: str) -> None:
    _actor.message_contract(_Part, message, state)
    _actor.state_contract(_Part, state)
    _actor.handle(_Part, message, state)


_STATES = ['{"sum":0}', '{"a":"b","names":["c"],"sum":1.5}', '{"sum":-1}', '{"names":1,"sum":0}']
_MESSAGES = ['{"add":1}', '{"add":0}', '{"sub":1}', '"fail"', "null"]


def rehearse() -> None:
    """Plays a contract."""
    _rounds([partial(_contract.run, _Play, *act) for act in _ACTS])


def rehearse_actor() -> None:
    """Plays an actor."""
    plays = itertools.product(_MESSAGES, _STATES)
    _rounds([partial(_act, *play) for play in plays])


def _rounds(acts: list[Callable[[], object]]) -> None:
    before = _host.enter(_Silent())  # type: ignore[arg-type]
    try:
        for _ in range(ROUNDS):
            for act in acts:
                try:
                    act()
                except Refused:
                    pass
    finally:
        _host.enter(before)
    # What lives in the image lives as long as a call: no collector needs to look at it again.
    gc.collect()
    gc.freeze()
