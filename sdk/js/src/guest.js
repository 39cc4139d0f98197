// The host of a guest, and what the component exports. Imported inside a component only.

import context from "althing:contract/context@0.1.0";
import crypto from "althing:contract/crypto@0.1.0";
import db from "althing:contract/db@0.1.0";
import events from "althing:contract/events@0.1.0";
import log from "althing:contract/log@0.1.0";
import programs from "althing:contract/programs@0.1.0";
import * as contracts from "./contract.js";
import { ContractError, Refused } from "./errors.js";
import { enter } from "./host.js";
import * as lines from "./log.js";

/** A function of the host whose error, which comes as a payload, becomes a `ContractError`. */
function asked(call) {
  return (...args) => {
    try {
      return call(...args);
    } catch ({ payload }) {
      throw new ContractError(payload.message, payload.kind);
    }
  };
}

const guest = {
  dbGet: asked(db.get),
  dbPut: asked(db.put),
  dbDelete: asked(db.delete),
  dbScan: asked(db.scan),
  dbDeletePrefix: asked(db.deletePrefix),
  caller: () => context.caller().val,
  author: context.author,
  index: context.index,
  timestampUs: context.timestampUs,
  seed: context.seed,
  program: context.program,
  emit: asked(events.emit),
  log: log.log,
  hash: crypto.hash,
  verifySignature: crypto.verifySignature,
  programsCall: asked(programs.call),
  programsQuery: asked(programs.query),
};

/** The interpreter has no console; libraries expect one. */
function giveConsole() {
  const write =
    (level) =>
    (...parts) =>
      lines[level](parts.join(" "));
  globalThis.console = {
    debug: write("debug"),
    log: write("info"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

function answered(run) {
  try {
    return run();
  } catch (error) {
    // What the world calls an error is a text that is thrown.
    throw error instanceof Refused ? error.message : String(error);
  }
}

/** The functions that the component exports. Called once, when it is built. */
export function exported(contract) {
  giveConsole();
  enter(guest);
  return {
    apply: (method, args) => answered(() => contracts.run(contract, "apply", method, args)),
    query: (method, args) => answered(() => contracts.run(contract, "query", method, args)),
    migration: {
      migrate: (fromVersion) => answered(() => contracts.migrate(contract, fromVersion)),
    },
  };
}
