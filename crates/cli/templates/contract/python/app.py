"""A guest book: everybody signs, nobody removes what others wrote.

What is stored::

    count            how many entries were ever written
    entry/NUMBER     an entry, as JSON; the number has ten digits, so that keys sort like numbers
"""

import json
from typing import Any

from althing import U32, U64, Contract, call, context, db, ensure, events, query

#: Characters of an entry.
TEXT_CHARS_MAX = 280
#: Entries on a page.
PAGE_MAX = 100


class Guestbook(Contract):
    """A ``@call`` changes the book, a ``@query`` only reads it."""

    @call
    def sign(self, text: str) -> int:
        """Writes an entry; its number."""
        text = text.strip()
        ensure(
            1 <= len(text) <= TEXT_CHARS_MAX,
            f"text: {len(text)} characters, wants 1 to {TEXT_CHARS_MAX}",
        )
        number = count() + 1
        entry = {
            "number": number,
            # key:HEX, or program:ID when a program signed.
            "by": str(context.caller()),
            "text": text,
            "time_us": context.timestamp_us(),
        }
        db.put_json("count", number)
        db.put_json(key(number), entry)
        events.emit("guestbook.signed", entry)
        return number

    @call
    def remove(self, number: U64) -> None:
        """Removes an entry. Only who wrote it may."""
        entry = db.get_json(key(number))
        ensure(entry, f"there is no entry {number}")
        # Decide with the caller, never with the author: a program that the author called for
        # another purpose could act in the author's name otherwise.
        caller, by = str(context.caller()), entry["by"]
        ensure(by == caller, f"entry {number} was written by {by}, not by {caller}")
        db.delete(key(number))

    @query
    def list(self, after: U64 = 0, limit: U32 = PAGE_MAX) -> list[dict[str, Any]]:
        """Entries in order, after the number ``after``: at most ``limit``, and at most 100."""
        pairs = db.scan("entry/", after=key(after), limit=min(limit, PAGE_MAX))
        return [json.loads(value) for _, value in pairs]

    @query
    def count(self) -> int:
        """How many entries were ever written."""
        return count()


def count() -> int:
    return db.get_json("count", 0)


def key(number: int) -> str:
    return f"entry/{number:010}"
