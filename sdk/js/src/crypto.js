// Hashes and signatures at the speed of the processor.

import { host } from "./host.js";
import { bytesOf } from "./utf8.js";

/** The BLAKE3 hash: 32 bytes. */
export function blake3(data) {
  return host().hash("blake3", bytesOf(data));
}

/** The SHA-256 hash: 32 bytes. */
export function sha256(data) {
  return host().hash("sha256", bytesOf(data));
}

/**
 * Whether `signature` is the Ed25519 signature of `message` by the public key `key`; false as well when
 * key or signature are malformed. A message that could be meant for another use should name its own:
 * the realm, the program, a number that is never used twice.
 */
export function verifySignature(key, message, signature) {
  return host().verifySignature(key, bytesOf(message), signature);
}
