// The contract in Node, against a realm in memory: fast, and with a debugger if need be.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Realm } from "althing/testing";
import Guestbook from "../app.js";

test("entries are listed in order", () => {
  const realm = new Realm(Guestbook);
  assert.equal(realm.call("sign", { text: " first " }), 1);
  assert.equal(realm.call("sign", { text: "second" }), 2);
  const texts = realm.query("list").map((entry) => entry.text);
  assert.deepEqual(texts, ["first", "second"]);
  assert.equal(realm.query("list", { after: 1, limit: 5 })[0].number, 2);
  assert.equal(realm.events.length, 2);
});

test("only who wrote an entry removes it", () => {
  const realm = new Realm(Guestbook);
  const [ada, bob] = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
  realm.context.author = ada;
  realm.call("sign", { text: "mine" });
  realm.context.author = bob;
  assert.throws(() => realm.call("remove", { number: 1 }), /was written by/);
  realm.context.author = ada;
  realm.call("remove", { number: 1 });
  assert.deepEqual(realm.query("list"), []);
  assert.equal(realm.query("count"), 1);
});

test("what is refused changes nothing", () => {
  const realm = new Realm(Guestbook);
  for (const args of [{ text: "  " }, { txet: "x" }, {}, { text: "x".repeat(281) }]) {
    assert.throws(() => realm.call("sign", args), { name: "ContractError" });
  }
  assert.equal(realm.events.length, 0);
});
