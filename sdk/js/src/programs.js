// Other programs of the realm. The one that calls needs the grant, not who signed the instruction. The
// program that is called sees it as its caller.

import { ContractError } from "./errors.js";
import { host } from "./host.js";
import { encoded, parse } from "./json.js";
import { decode } from "./utf8.js";

/**
 * Runs an instruction of another program, with JSON in and out, as a part of this one. When it fails,
 * what it wrote is undone, and a `ContractError` is thrown: catch it to go on. Refused in a query and in
 * `migrate`.
 */
export function call(program, method, args = {}) {
  return decoded(program, method, callRaw(program, method, encoded(args, "args")));
}

/** Asks a query of another program, with JSON in and out. It sees what was written so far. */
export function query(program, method, args = {}) {
  return decoded(program, method, queryRaw(program, method, encoded(args, "args")));
}

/** As `call`, for programs that speak something else than JSON. */
export function callRaw(program, method, args) {
  return host().programsCall(program, method, args);
}

/** As `query`, for programs that speak something else than JSON. */
export function queryRaw(program, method, args) {
  return host().programsQuery(program, method, args);
}

function decoded(program, method, output) {
  try {
    return parse(decode(output));
  } catch (error) {
    throw new ContractError(`output of ${method} of ${program}: ${error.message}`);
  }
}
