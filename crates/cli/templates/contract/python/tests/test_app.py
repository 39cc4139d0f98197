"""The contract in plain Python, against a realm in memory: fast, and with a debugger if need be."""

import unittest

from althing.testing import Error, Realm

from app import Guestbook


class GuestbookTest(unittest.TestCase):
    def setUp(self) -> None:
        self.realm = Realm(Guestbook)

    def test_entries_are_listed_in_order(self) -> None:
        self.assertEqual(self.realm.call("sign", text=" first "), 1)
        self.assertEqual(self.realm.call("sign", text="second"), 2)
        self.assertEqual([entry["text"] for entry in self.realm.query("list")], ["first", "second"])
        self.assertEqual(self.realm.query("list", after=1, limit=5)[0]["number"], 2)
        self.assertEqual([event.json()["text"] for event in self.realm.events], ["first", "second"])

    def test_only_who_wrote_an_entry_removes_it(self) -> None:
        ada, bob = b"\1" * 32, b"\2" * 32
        self.realm.context.author = ada
        self.realm.call("sign", text="mine")
        self.realm.context.author = bob
        with self.assertRaisesRegex(Error, "was written by"):
            self.realm.call("remove", number=1)
        self.realm.context.author = ada
        self.realm.call("remove", number=1)
        self.assertEqual(self.realm.query("list"), [])
        self.assertEqual(self.realm.query("count"), 1)

    def test_what_is_refused_changes_nothing(self) -> None:
        for args in [{"text": "  "}, {"txet": "x"}, {}, {"text": "x" * 281}]:
            with self.subTest(args), self.assertRaises(Error):
                self.realm.call("sign", **args)
        self.assertEqual((self.realm.db, self.realm.events), ({}, []))


if __name__ == "__main__":
    unittest.main()
