import unittest

from althing.testing import Error, Realm
from app import Counter


class CounterTest(unittest.TestCase):
    def setUp(self) -> None:
        self.realm = Realm(Counter)

    def test_counters_count_apart(self) -> None:
        realm = self.realm
        self.assertEqual(realm.query("value"), 0)
        self.assertEqual(realm.call("increment"), 1)
        self.assertEqual(realm.call("increment", by=4), 5)
        self.assertEqual(realm.call("increment", name="b", by=2), 2)
        self.assertEqual(realm.query("list", limit=9), [["b", 2], ["default", 5]])
        self.assertEqual(realm.query("list", after="b"), [["default", 5]])
        self.assertEqual(realm.call("reset"), 0)
        self.assertEqual(realm.query("value"), 0)

    def test_a_value_has_eight_bytes_in_little_endian_order(self) -> None:
        self.realm.call("increment", by=2**64 - 2)
        self.assertEqual(self.realm.db, {b"default": b"\xfe" + b"\xff" * 7})

    def test_what_is_refused_changes_nothing(self) -> None:
        self.realm.call("increment", by=2**64 - 1)
        before = dict(self.realm.db)
        for words, method, args in [
            (r"^counter default: 18446744073709551615 \+ 1 is too large$", "increment", {}),
            ("^name of the counter: 0 bytes, wants 1 to 256$", "increment", {"name": ""}),
            ("^args of increment: unknown field `buy`", "increment", {"buy": 1}),
            ("invalid value: integer `-1`, expected u64$", "increment", {"by": -1}),
            ("^unknown method `decrement`; there is `increment` or `reset`$", "decrement", {}),
        ]:
            with self.subTest(words), self.assertRaisesRegex(Error, words):
                self.realm.call(method, **args)
        self.assertEqual(self.realm.db, before)


if __name__ == "__main__":
    unittest.main()
