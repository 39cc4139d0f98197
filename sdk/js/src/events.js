// Events: what happened, for those who follow the realm.

import { host } from "./host.js";
import { encoded } from "./json.js";

/**
 * Emits an event. It is delivered once the entry is applied, if the call succeeds. `data` are bytes as
 * they are, anything else as JSON. A topic has at most 256 bytes; a call may emit 256 events, and with
 * its output 64 KiB. Refused in a query.
 */
export function emit(topic, data = null) {
  host().emit(topic, encoded(data, `data of event ${topic}`));
}
