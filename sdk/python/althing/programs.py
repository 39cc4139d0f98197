"""Other programs of the realm.

The one that calls needs the grant, not who signed the instruction. The program that is called sees
it as its caller.
"""

import json
from typing import Any

from althing._contract import encode
from althing._errors import Error
from althing._host import host

__all__ = ["call", "call_raw", "query", "query_raw"]


def call(program: str, method: str, /, **args: Any) -> Any:
    """Runs an instruction of another program, with JSON in and out, as a part of this one.

    When it fails, what it wrote is undone, and :class:`althing.Error` is raised: catch it to go on.
    Refused in a query and in ``migrate``.
    """
    return _decoded(program, method, call_raw(program, method, encode(args, "args")))


def query(program: str, method: str, /, **args: Any) -> Any:
    """Asks a query of another program, with JSON in and out. It sees what was written so far."""
    return _decoded(program, method, query_raw(program, method, encode(args, "args")))


def call_raw(program: str, method: str, args: bytes) -> bytes:
    """As :func:`call`, for programs that speak something else than JSON."""
    return host().programs_call(program, method, args)


def query_raw(program: str, method: str, args: bytes) -> bytes:
    """As :func:`query`, for programs that speak something else than JSON."""
    return host().programs_query(program, method, args)


def _decoded(program: str, method: str, output: bytes) -> Any:
    try:
        return json.loads(output.decode())
    except (ValueError, RecursionError) as error:
        raise Error(f"output of {method} of {program}: {error}") from None
