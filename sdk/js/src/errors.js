// Why a call fails.

/** Characters of an unexpected error that become part of the outcome. */
const MESSAGE_CHARS_MAX = 512;

/**
 * Refuses a call. The text becomes the outcome: name the thing, the reason and the remedy. What the
 * host refuses is one too, and then has the host's kind.
 */
export class ContractError extends Error {
  constructor(message, kind = "guest-failed") {
    super(message);
    this.name = "ContractError";
    this.kind = kind;
  }
}

/** Throws a `ContractError` with `message` unless the condition holds. */
export function ensure(condition, message) {
  if (!condition) throw new ContractError(message);
}

/** A call that failed, with the text of its outcome. The cause is what the contract threw. */
export class Refused extends Error {}

/** The text of an outcome: of a `ContractError` its own, of anything else name and message. */
export function outcomeOf(error) {
  if (error instanceof ContractError) return error.message;
  let text;
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${String(error)}`;
  } catch {
    text = "thrown: what has no text";
  }
  return text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX)}...` : text;
}
