"""What a build finds in `app.py`."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SDK = Path(__file__).resolve().parent.parent

ONE = "from althing import Contract, call\nclass One(Contract): ...\n"


def build(**files: str) -> tuple[int, str, str, str]:
    """The exit code, what is said, the module that is written, and the world."""
    with tempfile.TemporaryDirectory() as name:
        for module, text in files.items():
            (Path(name) / f"{module}.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "althing.build", name, name],
            cwd=name,
            env={"PYTHONPATH": str(SDK)},
            capture_output=True,
            text=True,
        )

        def written(file: str) -> str:
            path = Path(name) / file
            return path.read_text() if path.exists() else ""

        module, world = written("althing_component.py"), written("world")
        return done.returncode, done.stdout + done.stderr, module, world


class Build(unittest.TestCase):
    def test_the_world_is_what_the_contract_wants(self) -> None:
        migrate = "    def migrate(self, from_version): ...\n"
        for text, world in [
            (ONE, "contract"),
            ("import althing\nclass One(althing.Contract):\n" + migrate, "migrating-contract"),
            (ONE + "class Two(One):\n" + migrate, "migrating-contract"),
        ]:
            code, said, module, got = build(app=text)
            self.assertEqual((code, got), (0, world), said)
            self.assertIn("import app\n", module)

    def test_imports_inside_of_functions_are_hoisted(self) -> None:
        text = ONE + (
            "import helper\n"
            "def f():\n"
            "    import decimal, no_such_module\n"
            "    from os import path\n"
            "    from fractions import Fraction\n"
        )
        code, said, module, _ = build(app=text, helper="def g():\n    import late\n", late="")
        self.assertEqual(code, 0, said)
        lines = module.splitlines()
        expected = [f"import {name}" for name in ["decimal", "fractions", "late", "os", "os.path"]]
        self.assertEqual(lines[: lines.index("import althing._guest")], expected)

    def test_what_is_wrong_is_said_in_words(self) -> None:
        for text, words in [
            ("", "defines no contract"),
            (ONE + "class Two(Contract): ...\n", "defines One, Two; a component is one contract"),
            ("def f(:\n", "SyntaxError"),
            (ONE + "from althing import db\ndb.get('a')\n", "no call is running"),
            ("import numpi\n", "No module named 'numpi'"),
        ]:
            with self.subTest(words):
                code, said, module, _ = build(app=text)
                self.assertEqual((code, module), (1, ""), said)
                self.assertIn(words, said)


if __name__ == "__main__":
    unittest.main()
