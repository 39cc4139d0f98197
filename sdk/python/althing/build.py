"""Prepares the contract, or the actor, of a directory: ``python -m althing.build APP_DIR OUT_DIR``.

Imports ``app.py``, so that what is wrong with it is said by plain Python; writes the module
``althing_component`` into ``OUT_DIR``, which is for componentize-py, and the name of the world that
it is for into the file ``world``.

What is imported inside of functions is imported by that module as well: a component has no files to
import from when it runs.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from althing import _actor, _contract
from althing._contract import Contract
from althing.actor import Actor

#: The module that becomes the component.
MODULE = "althing_component"

_CONTRACT = """\
{hoisted}import althing._guest
import app

WitWorld, Migration = althing._guest.exports(app.{name})
"""

_ACTOR = """\
{hoisted}import althing._actor_guest
import app

WitWorld, Description, Migration = althing._actor_guest.exports(app.{name})
"""


def program_in(app: types.ModuleType) -> type[Contract] | type[Actor]:
    """The one contract, or actor, that the module defines."""
    found = [
        value
        for value in vars(app).values()
        if inspect.isclass(value)
        and issubclass(value, (Contract, Actor))
        and value.__module__ == app.__name__
    ]
    # A base class of another one is not what is meant.
    found = [one for one in found if not any(issubclass(o, one) for o in found if o is not one)]
    if len(found) == 1:
        return found[0]
    if not found:
        sys.exit(
            "app.py: defines no contract and no actor: `class NAME(althing.Contract)`, or "
            "`class NAME(althing.Actor)`"
        )
    names = ", ".join(one.__name__ for one in found)
    sys.exit(f"app.py: defines {names}; a component is one contract, or one actor")


def nested_imports(source: str) -> Iterator[str]:
    """The modules that are imported inside of functions, absolutely."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module
                    yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _sources(directory: Path) -> Iterator[str]:
    """The texts of those modules of the directory that were imported."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and Path(file).resolve().is_relative_to(directory):
            yield Path(file).read_text(encoding="utf-8")


def main(app_dir: str, out_dir: str) -> None:
    """Does it."""
    directory = Path(app_dir).resolve()
    sys.path.insert(0, str(directory))
    # Nothing but the component is left behind.
    sys.dont_write_bytecode = True
    program = program_in(importlib.import_module("app"))
    if issubclass(program, Actor):
        text = _ACTOR
        world = "migrating-actor" if _actor.migrates(program) else "described-actor"
    else:
        text = _CONTRACT
        world = "migrating-contract" if _contract.migrates(program) else "contract"
    names = {name for source in _sources(directory) for name in nested_imports(source)}
    hoisted = "".join(f"import {name}\n" for name in sorted(names) if _is_module(name))
    text = text.format(hoisted=hoisted, name=program.__qualname__)
    (Path(out_dir) / f"{MODULE}.py").write_text(text, encoding="utf-8")
    (Path(out_dir) / "world").write_text(world, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
