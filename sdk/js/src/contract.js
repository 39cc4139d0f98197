// A contract: its methods, and what happens when one is called.

import { ContractError, Refused, outcomeOf } from "./errors.js";
import { host } from "./host.js";
import { encoded, parse } from "./json.js";
import { object, oneOf, shown } from "./types.js";
import { decode } from "./utf8.js";

/** Characters of a stack that are logged. */
const STACK_CHARS_MAX = 2048;

class Method {
  constructor(args, run) {
    if (typeof run !== "function") throw new TypeError("a method wants arguments and a function");
    this.args = object(args);
    this.run = run;
  }
}

class Contract {
  constructor(apply, query, migrate) {
    this.sides = { apply, query };
    this.migrate = migrate;
  }
}

/**
 * A method: its arguments by name with their types, and a function that gets them in one object.
 *
 * An unknown argument, a missing one without a default (`type.or(value)`) and one of another type
 * are refused by name. What the function returns becomes the output: a `Uint8Array` as it is,
 * anything else as JSON, fields in the order in which they were set.
 */
export function method(args, run) {
  return new Method(args, run);
}

/**
 * A contract, to be exported as the default of `app.js`: calls, queries, and, when it takes over from
 * another version of itself, `migrate(fromVersion)`, which runs once, when it is activated.
 */
export function contract({ calls = {}, queries = {}, migrate, ...others }) {
  const [other] = Object.keys(others);
  if (other) throw new TypeError(`a contract has calls, queries and migrate; not ${other}`);
  return new Contract(methods(calls), methods(queries), migrate);
}

function methods(from) {
  for (const [name, made] of Object.entries(from)) {
    if (!(made instanceof Method)) throw new TypeError(`${name}: is not made by \`method\``);
    // For stacks: a function that is an argument has no name of its own.
    if (!made.run.name) Object.defineProperty(made.run, "name", { value: name });
  }
  return new Map(Object.entries(from));
}

/** Whether this is a contract, and whether it wants to be told when it takes over. */
export function kindOf(value) {
  return { isContract: value instanceof Contract, migrates: value?.migrate !== undefined };
}

/** Runs a method; whatever goes wrong is `Refused`. `args` are bytes, and so is the output. */
export function run(contract, side, name, args) {
  return guarded(() => {
    const method = found(contract.sides[side], name);
    const reply = method.run(values(method, name, args));
    if (typeof reply?.then === "function") throw new TypeError("a call cannot wait for a promise");
    return encoded(reply, "reply");
  });
}

/** Runs the migration; whatever goes wrong is `Refused`. */
export function migrate(contract, fromVersion) {
  guarded(() => contract.migrate(fromVersion));
}

function found(methods, name) {
  const method = methods.get(name);
  if (method) return method;
  const there = oneOf([...methods.keys()], "there is ") || "there are none";
  throw new ContractError(`unknown method \`${shown(name)}\`; ${there}`);
}

function values(method, name, args) {
  try {
    return method.args.decode(args.length === 0 ? {} : parse(decode(args)));
  } catch (error) {
    const text = error instanceof SyntaxError ? "no JSON" : error.message;
    throw new ContractError(`args of ${name}: ${text}`);
  }
}

function guarded(run) {
  try {
    return run();
  } catch (error) {
    const outcome = outcomeOf(error);
    if (!(error instanceof ContractError)) {
      host().log("error", `${outcome}\n${error?.stack ?? ""}`.trim().slice(0, STACK_CHARS_MAX));
    }
    throw new Refused(outcome, { cause: error });
  }
}
