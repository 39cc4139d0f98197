"""The actor in plain Python, on a stage in memory: fast, and with a debugger if need be."""

import unittest

from althing.testing import Error, Stage

from app import Tally


class TallyTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stage = Stage()
        self.stage.spawn("one", Tally)

    def test_it_counts(self) -> None:
        self.stage.send("one", {"add": {"by": 2}})
        state = self.stage.send("one", {"add": {"by": 3}})
        self.assertEqual(state, {"count": 5, "limit": 10})
        self.assertEqual(self.stage.send("one", "reset")["count"], 0)
        self.assertEqual(self.stage.logs, [("one", "begins again after 5")])

    def test_what_is_refused_changes_nothing(self) -> None:
        self.stage.send("one", {"add": {"by": 9}})
        before = self.stage.state("one")
        for message, reason in [
            ({"add": {"by": 2}}, "11 is more than the limit, which is 10"),
            ({"limit": {"to": 8}}, "9 is more than the limit, which is 8"),
            ({"add": {"by": 0}}, "`add.by`: 0, wants at least 1"),
            ({"add": {}}, "missing field `by`"),
            ({"subtract": 1}, "fits none of"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(Error, reason):
                self.stage.send("one", message)
        self.assertEqual(self.stage.state("one"), before)


if __name__ == "__main__":
    unittest.main()
