"""Counts up to a limit.

Messages::

    {"add": {"by": 2}}
    {"limit": {"to": 100}}
    "reset"
"""

from typing import Any

from althing import Actor, ensure, log

COUNT = {"type": "integer", "minimum": 0, "maximum": 1_000_000}


def message(name: str, field: str, rule: dict[str, Any]) -> dict[str, Any]:
    """The schema of a message with one field."""
    return fields(**{name: fields(**{field: rule})})


def fields(**rules: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with these fields, and no others."""
    return {
        "type": "object",
        "properties": rules,
        "required": list(rules),
        "additionalProperties": False,
    }


class Tally(Actor):
    """Messages and states are plain JSON; the schemas say which."""

    message_schema = {
        "oneOf": [
            message("add", "by", {"type": "integer", "minimum": 1, "maximum": 1000}),
            message("limit", "to", COUNT),
            {"const": "reset"},
        ]
    }
    state_schema = fields(count=COUNT, limit=COUNT)

    def init(self) -> Any:
        return {"count": 0, "limit": 10}

    def handle(self, message: Any, state: Any) -> Any:
        match message:
            case {"add": {"by": by}}:
                state["count"] += by
            case {"limit": {"to": to}}:
                state["limit"] = to
            case "reset":
                log.info(f"begins again after {state['count']}")
                state["count"] = 0
        return state

    # What a message must be is in its schema. What only the state can tell is for this one; it is
    # asked before the message is handled.
    def message_contract(self, message: Any, state: Any) -> None:
        ensure(message != "reset" or state["count"] > 0, "it is at 0 already")

    # What must be true of every state, whatever the message was.
    def state_contract(self, state: Any) -> None:
        count, limit = state["count"], state["limit"]
        ensure(count <= limit, f"{count} is more than the limit, which is {limit}")
