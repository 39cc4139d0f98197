// Lines for people: `althing logs PROGRAM` shows them. They are no part of the state.
//
// A call may log 16 KiB; the rest is dropped. `console` logs here too.

import { host } from "./host.js";

/** For who looks for a defect. */
export function debug(text) {
  host().log("debug", String(text));
}

/** What happened. */
export function info(text) {
  host().log("info", String(text));
}

/** Something is odd. */
export function warn(text) {
  host().log("warn", String(text));
}

/** Something failed. */
export function error(text) {
  host().log("error", String(text));
}
