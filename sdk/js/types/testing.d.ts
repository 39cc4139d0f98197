import type { Bytes, Contract } from "./index.js";

export { ContractError } from "./index.js";

/** The keyspace of a program. */
export interface Keyspace {
  readonly size: number;
  get(key: Bytes): Uint8Array | null;
  set(key: Bytes, value: Bytes): void;
  delete(key: Bytes): boolean;
  /** Keys in order. */
  keys(): Uint8Array[];
  /** Pairs of key and value, in order. */
  entries(): [Uint8Array, Uint8Array][];
}

/** A realm in memory, in which a contract is the program `program` (`test`). */
export class Realm {
  constructor(contract: Contract, program?: string);
  /** What the next call sees. An instruction moves `index` on by one. */
  context: { author: Uint8Array; index: number; timestampUs: number; seed: Uint8Array };
  /** All events so far. */
  events: { topic: string; data: Uint8Array; program: string }[];
  /** All lines so far. */
  logs: { level: "debug" | "info" | "warn" | "error"; text: string }[];
  /** The keyspace of the program. */
  readonly db: Keyspace;
  /** The keyspace of any program. */
  dbOf(program: string): Keyspace;
  /** Puts another program into the realm, for the contract to call; again: another version. */
  install(program: string, contract: Contract): void;
  /** Runs an instruction, with JSON in and out; throws a `ContractError` when it fails. */
  call(method: string, args?: object): any;
  /** Asks a query, with JSON in and out; throws a `ContractError` when it fails. */
  query(method: string, args?: object): any;
  /** As `call`, with bytes in and out. */
  callRaw(method: string, args?: Uint8Array): Uint8Array;
  /** As `query`, with bytes in and out. */
  queryRaw(method: string, args?: Uint8Array): Uint8Array;
  /** Tells the contract that it takes over, as when it is activated. */
  migrate(fromVersion: string): void;
}
