/** Bytes, or text that becomes UTF-8. */
export type Bytes = Uint8Array | string;

/** The vocabulary of errors that every surface of Althing shares. */
export type Kind =
  | "invalid"
  | "not-found"
  | "denied"
  | "conflict"
  | "exhausted"
  | "contract-violation"
  | "guest-failed"
  | "unavailable"
  | "internal";

/** Refuses a call: the text becomes the outcome. What the host refuses is one too. */
export class ContractError extends Error {
  constructor(message: string, kind?: Kind);
  readonly kind: Kind;
}

/** Throws a `ContractError` with `message` unless the condition holds. */
export function ensure(condition: unknown, message: string): asserts condition;

/** The type of an argument: turns a value of JSON into a `T`. */
export interface Type<T> {
  readonly expected: string;
  decode(value: unknown): T;
  /** The same, for an argument that may be left out: then it is `value`. */
  or(value: T): Type<T>;
}

/** Types by name. */
export type Fields = Record<string, Type<any>>;
/** What a method gets for its `Fields`. */
export type Values<F extends Fields> = { [K in keyof F]: F[K] extends Type<infer T> ? T : never };

/** Anything that JSON can hold; integers beyond 2^53 are BigInt. */
export const any: Type<any>;
export const bool: Type<boolean>;
export const text: Type<string>;
export const number: Type<number>;
/** An integer of any size. */
export const integer: Type<bigint>;
export const u8: Type<number>;
export const u16: Type<number>;
export const u32: Type<number>;
export const u64: Type<bigint>;
export const i8: Type<number>;
export const i16: Type<number>;
export const i32: Type<number>;
export const i64: Type<bigint>;
/** One of these texts. */
export function choice<const T extends string>(...texts: T[]): Type<T>;
export function nullable<T>(type: Type<T>): Type<T | null>;
export function list<T>(type: Type<T>): Type<T[]>;
export function map<T>(type: Type<T>): Type<Map<string, T>>;
/** An object with exactly these fields. */
export function object<F extends Fields>(fields: F): Type<Values<F>>;

/** Made by `method`. */
export interface Method {
  readonly args: Type<unknown>;
}

/** Made by `contract`. */
export interface Contract {
  readonly migrate?: (fromVersion: string) => void;
}

/** A method: its arguments by name with their types, and a function that gets them in one object. */
export function method<F extends Fields>(args: F, run: (values: Values<F>) => unknown): Method;

/** A contract, to be exported as the default of `app.js`. */
export function contract(definition: {
  /** Run instructions. */
  calls?: Record<string, Method>;
  /** Answer questions; they cannot write. */
  queries?: Record<string, Method>;
  /** Runs once, when the contract takes over from the version `fromVersion` of itself. */
  migrate?: (fromVersion: string) => void;
}): Contract;

/** The contract's keyspace: an ordered map from bytes to bytes, its own alone. */
export namespace db {
  /** The value of `key`, or null. */
  function get(key: Bytes): Uint8Array | null;
  /** The value of `key`, which is JSON; `fallback` (null) when there is none. */
  function getJson<T = any>(key: Bytes, fallback?: T): T;
  /** Writes `key`. Refused in a query. */
  function put(key: Bytes, value: Bytes): void;
  /** Writes `key`, with `value` as JSON. */
  function putJson(key: Bytes, value: unknown): void;
  /** The pairs whose keys start with `prefix`, in order, fetched page by page as they are used. */
  function scan(
    prefix?: Bytes,
    range?: { after?: Bytes | null; before?: Bytes | null; reverse?: boolean; limit?: number },
  ): Generator<[Uint8Array, Uint8Array]>;
  /** Deletes the first keys that start with `prefix`: at most `limit`, and at most 10,000. */
  function deletePrefix(prefix: Bytes, limit?: number): { keys: number; more: boolean };
  /** Deletes `key`; true when it was there. Refused in a query. */
  function remove(key: Bytes): boolean;
  export { deletePrefix, get, getJson, put, putJson, scan, remove as delete };
}

/** Who calls, and when: the same on every node. */
export namespace context {
  /** Who signs, by public key, or another program, by id; the other one is null. */
  interface Caller {
    readonly key: Uint8Array | null;
    readonly program: string | null;
    /** `key:` and the key in hex, or `program:` and the id. */
    toString(): string;
  }
  /** Who called this program. Decide with this, and never with `author`, who may do what. */
  function caller(): Caller;
  /** The public key of who stands at the beginning of a chain of calls. For records. */
  function author(): Uint8Array;
  /** The index of the log entry; in a query, of the last one that the state holds. */
  function index(): number;
  /** The realm's time, in microseconds since the Unix epoch, UTC. Never runs backwards. */
  function timestampUs(): number;
  /** 32 bytes that no author could foresee, different for each instruction. Not a secret. */
  function seed(): Uint8Array;
  /** A generator that starts from `seed`. Make one per call, and use it on. */
  function random(): () => number;
  /** The id under which this program runs. */
  function program(): string;
}

/** Events: what happened, for those who follow the realm. */
export namespace events {
  /** Emits an event; `data` are bytes as they are, anything else as JSON. Refused in a query. */
  function emit(topic: string, data?: unknown): void;
}

/** Lines for people: `althing logs PROGRAM` shows them. */
export namespace log {
  function debug(text: unknown): void;
  function info(text: unknown): void;
  function warn(text: unknown): void;
  function error(text: unknown): void;
}

/** Hashes and signatures at the speed of the processor. */
export namespace crypto {
  function blake3(data: Bytes): Uint8Array;
  function sha256(data: Bytes): Uint8Array;
  /** Whether this is the Ed25519 signature; false as well when key or signature are malformed. */
  function verifySignature(key: Uint8Array, message: Bytes, signature: Uint8Array): boolean;
}

/** Other programs of the realm. The one that calls needs the grant, not who signed. */
export namespace programs {
  /** Runs an instruction, as a part of this one. When it fails, catch the error to go on. */
  function call<T = any>(program: string, method: string, args?: object): T;
  /** Asks a query. It sees what was written so far. */
  function query<T = any>(program: string, method: string, args?: object): T;
  /** As `call`, with bytes in and out. */
  function callRaw(program: string, method: string, args: Uint8Array): Uint8Array;
  /** As `query`, with bytes in and out. */
  function queryRaw(program: string, method: string, args: Uint8Array): Uint8Array;
}

/** `text` as UTF-8. */
export function utf8(text: string): Uint8Array;
/** The text whose UTF-8 `bytes` are; throws a `RangeError` when they are not. */
export function fromUtf8(bytes: Uint8Array): string;
