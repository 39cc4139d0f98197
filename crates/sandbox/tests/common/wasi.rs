//! Guests that import WASI: as much of each interface of preview 2 as the tests call.

use super::{actor::Guest, module};
use std::path::Path;

/// The version that [`module`] imports.
pub const VERSION: &str = "0.2.6";

/// The types of what [`IMPORTS`] names, in short: what a compiler of some language would know.
const TYPES: &str = r#"
package test:guest;

package wasi:io@VERSION {
  interface error { resource error; }
  interface poll {
    resource pollable { ready: func() -> bool; block: func(); }
    poll: func(in: list<borrow<pollable>>) -> list<u32>;
  }
  interface streams {
    use error.{error};
    use poll.{pollable};
    variant stream-error { last-operation-failed(error), closed }
    resource input-stream {
      read: func(len: u64) -> result<list<u8>, stream-error>;
      blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
      skip: func(len: u64) -> result<u64, stream-error>;
      subscribe: func() -> pollable;
    }
    resource output-stream {
      check-write: func() -> result<u64, stream-error>;
      write: func(contents: list<u8>) -> result<_, stream-error>;
      blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
      flush: func() -> result<_, stream-error>;
      subscribe: func() -> pollable;
      write-zeroes: func(len: u64) -> result<_, stream-error>;
      splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;
    }
  }
}
package wasi:clocks@VERSION {
  interface wall-clock {
    record datetime { seconds: u64, nanoseconds: u32 }
    now: func() -> datetime;
    resolution: func() -> datetime;
  }
  interface monotonic-clock {
    use wasi:io/poll@VERSION.{pollable};
    now: func() -> u64;
    resolution: func() -> u64;
    subscribe-instant: func(when: u64) -> pollable;
    subscribe-duration: func(when: u64) -> pollable;
  }
}
package wasi:random@VERSION {
  interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }
  interface insecure {
    get-insecure-random-bytes: func(len: u64) -> list<u8>;
    get-insecure-random-u64: func() -> u64;
  }
  interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
}
package wasi:cli@VERSION {
  interface environment {
    get-environment: func() -> list<tuple<string, string>>;
    get-arguments: func() -> list<string>;
    initial-cwd: func() -> option<string>;
  }
  interface exit { exit: func(status: result); exit-with-code: func(code: u8); }
  interface stdin { use wasi:io/streams@VERSION.{input-stream}; get-stdin: func() -> input-stream; }
  interface stdout { use wasi:io/streams@VERSION.{output-stream}; get-stdout: func() -> output-stream; }
  interface stderr { use wasi:io/streams@VERSION.{output-stream}; get-stderr: func() -> output-stream; }
  interface terminal-input { resource terminal-input; }
  interface terminal-output { resource terminal-output; }
  interface terminal-stdin {
    use terminal-input.{terminal-input};
    get-terminal-stdin: func() -> option<terminal-input>;
  }
  interface terminal-stdout {
    use terminal-output.{terminal-output};
    get-terminal-stdout: func() -> option<terminal-output>;
  }
  interface terminal-stderr {
    use terminal-output.{terminal-output};
    get-terminal-stderr: func() -> option<terminal-output>;
  }
}
package wasi:filesystem@VERSION {
  interface types {
    use wasi:io/streams@VERSION.{input-stream, error};
    enum error-code { access, unsupported, no-entry }
    resource descriptor {
      read: func(length: u64, offset: u64) -> result<tuple<list<u8>, bool>, error-code>;
      read-via-stream: func(offset: u64) -> result<input-stream, error-code>;
    }
    filesystem-error-code: func(err: borrow<error>) -> option<error-code>;
  }
  interface preopens {
    use types.{descriptor};
    get-directories: func() -> list<tuple<descriptor, string>>;
  }
}
package wasi:sockets@VERSION {
  interface network {
    resource network;
    enum error-code { unknown, access-denied, not-supported }
    enum ip-address-family { ipv4, ipv6 }
  }
  interface instance-network { use network.{network}; instance-network: func() -> network; }
  interface ip-name-lookup {
    use wasi:io/poll@VERSION.{pollable};
    use network.{network, error-code};
    resource resolve-address-stream { subscribe: func() -> pollable; }
    resolve-addresses: func(network: borrow<network>, name: string)
      -> result<resolve-address-stream, error-code>;
  }
  interface tcp {
    use network.{error-code};
    resource tcp-socket { start-listen: func() -> result<_, error-code>; }
  }
  interface tcp-create-socket {
    use network.{error-code, ip-address-family};
    use tcp.{tcp-socket};
    create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>;
  }
  interface udp {
    use network.{error-code};
    resource udp-socket { unicast-hop-limit: func() -> result<u8, error-code>; }
  }
  interface udp-create-socket {
    use network.{error-code, ip-address-family};
    use udp.{udp-socket};
    create-udp-socket: func(family: ip-address-family) -> result<udp-socket, error-code>;
  }
}
package wasi:http@VERSION {
  interface types {
    variant error-code { DNS-timeout, HTTP-request-denied, internal-error(option<string>) }
    variant header-error { invalid-syntax, forbidden, immutable }
    resource fields {
      constructor();
      has: func(name: string) -> bool;
      append: func(name: string, value: list<u8>) -> result<_, header-error>;
    }
    resource outgoing-request { constructor(headers: fields); }
    resource request-options {
      constructor();
      set-connect-timeout: func(duration: option<u64>) -> result;
    }
    resource future-incoming-response;
  }
  interface outgoing-handler {
    use types.{outgoing-request, request-options, future-incoming-response, error-code};
    handle: func(request: outgoing-request, options: option<request-options>)
      -> result<future-incoming-response, error-code>;
  }
}
"#;

/// What a guest imports: the interface, the function, its name in the guest and its core type.
const IMPORTS: &[(&str, &str, &str, &str)] = &[
    ("io/poll", "[method]pollable.ready", "$ready", "(param i32) (result i32)"),
    ("io/poll", "[method]pollable.block", "$block", "(param i32)"),
    ("io/poll", "poll", "$poll", "(param i32 i32 i32)"),
    ("io/poll", "[resource-drop]pollable", "$drop_pollable", "(param i32)"),
    ("io/error", "[resource-drop]error", "$drop_error", "(param i32)"),
    ("io/streams", "[method]input-stream.read", "$read", "(param i32 i64 i32)"),
    ("io/streams", "[method]input-stream.blocking-read", "$read2", "(param i32 i64 i32)"),
    ("io/streams", "[method]input-stream.skip", "$skip", "(param i32 i64 i32)"),
    ("io/streams", "[method]input-stream.subscribe", "$in_ready", "(param i32) (result i32)"),
    ("io/streams", "[resource-drop]input-stream", "$drop_in", "(param i32)"),
    ("io/streams", "[method]output-stream.check-write", "$check", "(param i32 i32)"),
    ("io/streams", "[method]output-stream.write", "$write", "(param i32 i32 i32 i32)"),
    (
        "io/streams",
        "[method]output-stream.blocking-write-and-flush",
        "$write2",
        "(param i32 i32 i32 i32)",
    ),
    ("io/streams", "[method]output-stream.flush", "$flush", "(param i32 i32)"),
    ("io/streams", "[method]output-stream.subscribe", "$out_ready", "(param i32) (result i32)"),
    ("io/streams", "[method]output-stream.write-zeroes", "$zeroes", "(param i32 i64 i32)"),
    ("io/streams", "[method]output-stream.splice", "$splice", "(param i32 i32 i64 i32)"),
    ("io/streams", "[resource-drop]output-stream", "$drop_out", "(param i32)"),
    ("clocks/wall-clock", "now", "$wall", "(param i32)"),
    ("clocks/wall-clock", "resolution", "$wall_step", "(param i32)"),
    ("clocks/monotonic-clock", "now", "$mono", "(result i64)"),
    ("clocks/monotonic-clock", "resolution", "$mono_step", "(result i64)"),
    ("clocks/monotonic-clock", "subscribe-instant", "$at", "(param i64) (result i32)"),
    ("clocks/monotonic-clock", "subscribe-duration", "$after", "(param i64) (result i32)"),
    ("random/random", "get-random-bytes", "$random", "(param i64 i32)"),
    ("random/random", "get-random-u64", "$random64", "(result i64)"),
    ("random/insecure", "get-insecure-random-bytes", "$insecure", "(param i64 i32)"),
    ("random/insecure", "get-insecure-random-u64", "$insecure64", "(result i64)"),
    ("random/insecure-seed", "insecure-seed", "$insecure_seed", "(param i32)"),
    ("cli/environment", "get-environment", "$environment", "(param i32)"),
    ("cli/environment", "get-arguments", "$arguments", "(param i32)"),
    ("cli/environment", "initial-cwd", "$cwd", "(param i32)"),
    ("cli/exit", "exit", "$exit", "(param i32)"),
    ("cli/exit", "exit-with-code", "$exit_code", "(param i32)"),
    ("cli/stdin", "get-stdin", "$stdin", "(result i32)"),
    ("cli/stdout", "get-stdout", "$stdout", "(result i32)"),
    ("cli/stderr", "get-stderr", "$stderr", "(result i32)"),
    ("cli/terminal-input", "[resource-drop]terminal-input", "$drop_ti", "(param i32)"),
    ("cli/terminal-output", "[resource-drop]terminal-output", "$drop_to", "(param i32)"),
    ("cli/terminal-stdin", "get-terminal-stdin", "$tty_in", "(param i32)"),
    ("cli/terminal-stdout", "get-terminal-stdout", "$tty_out", "(param i32)"),
    ("cli/terminal-stderr", "get-terminal-stderr", "$tty_err", "(param i32)"),
    ("filesystem/types", "[method]descriptor.read", "$file_read", "(param i32 i64 i64 i32)"),
    ("filesystem/types", "[method]descriptor.read-via-stream", "$file", "(param i32 i64 i32)"),
    ("filesystem/types", "filesystem-error-code", "$file_error", "(param i32 i32)"),
    ("filesystem/preopens", "get-directories", "$directories", "(param i32)"),
    ("sockets/network", "[resource-drop]network", "$drop_network", "(param i32)"),
    ("sockets/instance-network", "instance-network", "$network", "(result i32)"),
    ("sockets/ip-name-lookup", "resolve-addresses", "$resolve", "(param i32 i32 i32 i32)"),
    (
        "sockets/ip-name-lookup",
        "[method]resolve-address-stream.subscribe",
        "$resolved",
        "(param i32) (result i32)",
    ),
    ("sockets/tcp", "[method]tcp-socket.start-listen", "$listen", "(param i32 i32)"),
    ("sockets/tcp-create-socket", "create-tcp-socket", "$tcp", "(param i32 i32)"),
    ("sockets/udp", "[method]udp-socket.unicast-hop-limit", "$hops", "(param i32 i32)"),
    ("sockets/udp-create-socket", "create-udp-socket", "$udp", "(param i32 i32)"),
    ("http/types", "[constructor]fields", "$fields", "(result i32)"),
    ("http/types", "[method]fields.has", "$has", "(param i32 i32 i32) (result i32)"),
    ("http/types", "[method]fields.append", "$append", "(param i32 i32 i32 i32 i32 i32)"),
    ("http/types", "[constructor]outgoing-request", "$request", "(param i32) (result i32)"),
    ("http/types", "[constructor]request-options", "$options", "(result i32)"),
    (
        "http/types",
        "[method]request-options.set-connect-timeout",
        "$timeout",
        "(param i32 i32 i64) (result i32)",
    ),
    ("http/outgoing-handler", "handle", "$handle", "(param i32 i32 i32 i32)"),
];

/// A guest that imports all of [`IMPORTS`], has `items`, and does `body` when it is called.
pub fn guest(items: &str, body: &str) -> Vec<u8> {
    guest_of(VERSION, items, body)
}

/// As [`guest`], with the interfaces of another version.
pub fn guest_of(version: &str, items: &str, body: &str) -> Vec<u8> {
    wrapped(version, "contract", &module(items, body))
}

/// An actor that imports all of [`IMPORTS`].
pub fn actor(guest: &Guest<'_>) -> Vec<u8> {
    wrapped(VERSION, "actor", &guest.module())
}

fn wrapped(version: &str, kind: &str, module: &str) -> Vec<u8> {
    let mut imports = String::from("(module");
    let mut interfaces = String::new();
    for (interface, function, name, ty) in IMPORTS {
        let interface = format!("wasi:{interface}@{version}");
        imports += &format!("\n  (import \"{interface}\" \"{function}\" (func {name} {ty}))");
        let line = format!("import {interface};");
        if !interfaces.contains(&line) {
            interfaces += &line;
        }
    }
    let text = module.replacen("(module", &imports, 1);
    let world = format!("world guest {{ include althing:{kind}/{kind}@0.1.0; {interfaces} }}");
    let types = TYPES.replace("VERSION", version) + &world;

    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(kind);
    resolve.push_dir(wit).unwrap();
    let package = resolve.push_str("guest.wit", &types).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut wasm = wat::parse_str(text).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, encoding).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default().module(&wasm).unwrap();
    encoder.encode().unwrap()
}
