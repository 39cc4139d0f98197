// The contract's keyspace: an ordered map from bytes to bytes, its own alone.
//
// Reads see the writes of the same call. Keys have 1 to 4,096 bytes, values at most 1 MiB; both may be
// given as text, which is then UTF-8. What the host refuses is a `ContractError`.

import { ContractError } from "./errors.js";
import { host } from "./host.js";
import { encoded, parse } from "./json.js";
import { bytesOf, decode } from "./utf8.js";

/** Pairs that a scan without a limit fetches at a time: what is fetched is paid for. */
const PAGE_PAIRS = 64;
/** Pairs that the host gives at a time. */
const PAGE_PAIRS_MAX = 1_000;
/** Keys that one call of `deletePrefix` deletes. */
const DELETE_KEYS_MAX = 10_000;

/** The value of `key`, or null. */
export function get(key) {
  return host().dbGet(bytesOf(key));
}

/** The value of `key`, which is JSON; `fallback` when there is none. */
export function getJson(key, fallback = null) {
  const value = get(key);
  if (value === null) return fallback;
  try {
    return parse(decode(value));
  } catch (error) {
    throw new ContractError(`value of ${shown(key)}: ${error.message}`);
  }
}

/** Writes `key`. Refused in a query. */
export function put(key, value) {
  host().dbPut(bytesOf(key), bytesOf(value));
}

/** Writes `key`, with `value` as JSON. */
export function putJson(key, value) {
  put(key, encoded(value, `value of ${shown(key)}`));
}

/** Deletes `key`; true when it was there. Refused in a query. */
function remove(key) {
  return host().dbDelete(bytesOf(key));
}
export { remove as delete };

/**
 * The pairs whose keys start with `prefix`, in ascending order, or descending with `reverse`: only
 * those after the key `after` and before the key `before`, which need not exist, and at most `limit`.
 * Pairs are fetched page by page, as they are used.
 */
export function* scan(prefix = "", { after, before, reverse = false, limit = Infinity } = {}) {
  const range = {
    prefix: bytesOf(prefix),
    after: after == null ? null : bytesOf(after),
    before: before == null ? null : bytesOf(before),
  };
  for (let more = true, left = limit; more && left > 0; ) {
    const size = left === Infinity ? PAGE_PAIRS : Math.min(left, PAGE_PAIRS_MAX);
    const page = host().dbScan(range, reverse ? "descending" : "ascending", size);
    for (const { key, value } of page.pairs) yield [key, value];
    if (page.pairs.length === 0) return;
    range[reverse ? "before" : "after"] = page.pairs.at(-1).key;
    left -= page.pairs.length;
    more = page.more;
  }
}

/**
 * Deletes the first keys that start with `prefix`: at most `limit`, and at most 10,000. Gives how many
 * `keys` were deleted, and whether there are `more`. Refused in a query.
 */
export function deletePrefix(prefix, limit = DELETE_KEYS_MAX) {
  return host().dbDeletePrefix(bytesOf(prefix), Math.min(limit, DELETE_KEYS_MAX));
}

function shown(key) {
  if (typeof key === "string") return key;
  return Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
