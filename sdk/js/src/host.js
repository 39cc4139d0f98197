// The host of the call that runs: the node (guest.js), or a realm in memory (testing/realm.js).

let current;

/** The host of the call that runs. */
export function host() {
  if (current === undefined) {
    throw new Error(
      "no call is running: state, context and events are there within a call only, not when a " +
        "module is imported; tests call through `Realm` of althing/testing",
    );
  }
  return current;
}

/** Makes `next` the host of what runs from here on; gives the one before. */
export function enter(next) {
  const before = current;
  current = next;
  return before;
}
