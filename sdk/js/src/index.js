/**
 * Write contracts for Althing in JavaScript.
 *
 * A contract has calls, which run instructions, and queries, which answer questions. Each is a
 * `method`: the types of its arguments, which come as JSON and are checked, and a function. What it
 * returns goes out as JSON.
 *
 *     import { contract, db, method, text } from "althing";
 *
 *     export default contract({
 *       calls: {
 *         greet: method({ name: text }, ({ name }) => {
 *           db.putJson(name, db.getJson(name, 0) + 1);
 *           return `hello, ${name}`;
 *         }),
 *       },
 *       queries: {
 *         count: method({ name: text }, ({ name }) => db.getJson(name, 0)),
 *       },
 *     });
 *
 * The same code runs in Node, against a realm in memory:
 *
 *     import { Realm } from "althing/testing";
 *
 *     const realm = new Realm(Greeter);
 *     assert.equal(realm.call("greet", { name: "Ada" }), "hello, Ada");
 *
 * What holds: each call gets a fresh interpreter, as it was after the imports; variables start anew,
 * only `db` lasts. What is thrown undoes all that the call wrote and emitted, and its text becomes
 * the outcome: say why with `ContractError`. Of any other error the outcome holds name and message,
 * and the log the stack (`althing logs PROGRAM`).
 *
 * What there is not: no clock but the realm's (`Date.now()` gives it too), no randomness but
 * `context.random()`, no files, no network, no timers, no promises: a call is over when its function
 * returns.
 *
 * @module
 */

export { contract, method } from "./contract.js";
export { ContractError, ensure } from "./errors.js";
export * as context from "./context.js";
export * as crypto from "./crypto.js";
export * as db from "./db.js";
export * as events from "./events.js";
export * as log from "./log.js";
export * as programs from "./programs.js";
export {
  any,
  bool,
  choice,
  i16,
  i32,
  i64,
  i8,
  integer,
  list,
  map,
  nullable,
  number,
  object,
  text,
  u16,
  u32,
  u64,
  u8,
} from "./types.js";
export { decode as fromUtf8, encode as utf8 } from "./utf8.js";
