// A realm in memory, to test contracts with Node: `node --test`.
//
// It keeps the rules that a contract can notice: limits of keys and values, queries that cannot write,
// a failed call that leaves nothing behind, calls between programs. It does not count fuel or memory,
// it grants every call, it verifies signatures by the rules of Node's own library, and a module is
// imported once: a variable that one call changes stays changed here, and not on a node.

export { ContractError } from "../errors.js";
export { Realm } from "./realm.js";
