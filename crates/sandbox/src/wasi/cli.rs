//! Standard streams and the end of a program.
//!
//! What a guest writes is cut into lines for its log, bounded like `log.log` and with it. It is never
//! refused: a guest behaves the same whether its log is full or not.

use super::{Entered, State, broken, clocks::Pollable, interface, nothing::Absent, price};
use crate::Level;
use althing_protocol::limits::GUEST_LOG_BYTES_MAX;
use std::mem;
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList},
};

/// What a guest is told it may write at once. It may write more.
const PERMIT_BYTES: u64 = 64 << 10;

/// The only one is stdin, which is at its end.
pub(super) enum InputStream {}
/// Its representation says which one it is.
pub(super) enum OutputStream {}

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the type; writing never fails")]
    LastOperationFailed(Resource<Absent>),
    #[component(name = "closed")]
    Closed,
}

type Closed<T> = std::result::Result<T, StreamError>;

/// A line that is not at its end yet.
#[derive(Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    /// It is too long, so none of it is kept.
    is_cut: bool,
}

impl Line {
    fn add(&mut self, bytes: &[u8], room: usize) {
        self.is_cut |= self.bytes.len() + bytes.len() > room;
        if self.is_cut {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_cut
    }
}

impl State {
    fn line(&mut self, stream: u32) -> &mut Line {
        if stream == STDERR { &mut self.wasi.stderr } else { &mut self.wasi.stdout }
    }

    fn write(&mut self, stream: u32, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = GUEST_LOG_BYTES_MAX - self.log_bytes;
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line(stream).add(end, room);
                    self.end_line(stream);
                }
                None => self.line(stream).add(piece, room),
            }
        }
    }

    /// Logs the line if it fits. Its end counts too, so that empty ones are bounded.
    fn end_line(&mut self, stream: u32) {
        let line = mem::take(self.line(stream));
        let text = String::from_utf8_lossy(&line.bytes);
        let room = GUEST_LOG_BYTES_MAX - self.log_bytes;
        if line.is_cut || text.len() >= room {
            self.logs_dropped = self.logs_dropped.saturating_add(1);
            return;
        }
        self.log_bytes += text.len() + 1;
        let level = if stream == STDERR { Level::Warn } else { Level::Info };
        self.host.log(level, &text);
    }
}

/// Logs what a call has written without ending the line.
pub(crate) fn flush(state: &mut State) {
    for stream in [STDOUT, STDERR] {
        if !state.line(stream).is_empty() {
            state.end_line(stream);
        }
    }
}

pub(super) fn define(linker: &mut Linker<State>) -> Result<()> {
    let mut streams = interface(linker, "io/streams")?;
    input(&mut streams)?;
    output(&mut streams)?;
    writes(&mut streams)?;
    splices(&mut streams)?;
    interface(linker, "cli/stdin")?.func_wrap("get-stdin", |store, (): ()| {
        Entered::new(store, "stdin.get-stdin", price::STREAM)?;
        Ok((Resource::<InputStream>::new_own(STDIN),))
    })?;
    interface(linker, "cli/stdout")?.func_wrap("get-stdout", |store, (): ()| {
        Entered::new(store, "stdout.get-stdout", price::STREAM)?;
        Ok((Resource::<OutputStream>::new_own(STDOUT),))
    })?;
    interface(linker, "cli/stderr")?.func_wrap("get-stderr", |store, (): ()| {
        Entered::new(store, "stderr.get-stderr", price::STREAM)?;
        Ok((Resource::<OutputStream>::new_own(STDERR),))
    })?;
    exit(&mut interface(linker, "cli/exit")?)
}

type In = Resource<InputStream>;
type Out = Resource<OutputStream>;
type Streams<'a> = LinkerInstance<'a, State>;

/// Streams hold nothing, so there is nothing to let go of.
fn forget(_: StoreContextMut<'_, State>, _: u32) -> Result<()> {
    Ok(())
}

fn input(streams: &mut Streams<'_>) -> Result<()> {
    streams.resource("input-stream", ResourceType::host::<InputStream>(), forget)?;
    for name in ["read", "blocking-read"] {
        let method = format!("[method]input-stream.{name}");
        streams.func_wrap(&method, |store, (_, _): (In, u64)| {
            Entered::new(store, "input-stream.read", price::STREAM)?;
            Ok((Closed::<Vec<u8>>::Err(StreamError::Closed),))
        })?;
    }
    for name in ["skip", "blocking-skip"] {
        let method = format!("[method]input-stream.{name}");
        streams.func_wrap(&method, |store, (_, _): (In, u64)| {
            Entered::new(store, "input-stream.skip", price::STREAM)?;
            Ok((Closed::<u64>::Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |store, (_,): (In,)| {
        Ok((ready(Entered::new(store, "input-stream.subscribe", price::POLLABLE)?)?,))
    })
}

/// A pollable of a stream: it never waits for anything.
fn ready(mut on: Entered<'_>) -> Result<Resource<Pollable>> {
    on.store.data_mut().pollable(0)
}

fn output(streams: &mut Streams<'_>) -> Result<()> {
    streams.resource("output-stream", ResourceType::host::<OutputStream>(), forget)?;
    streams.func_wrap("[method]output-stream.check-write", |store, (_,): (Out,)| {
        Entered::new(store, "output-stream.check-write", price::STREAM)?;
        Ok((Closed::Ok(PERMIT_BYTES),))
    })?;
    for name in ["flush", "blocking-flush"] {
        let method = format!("[method]output-stream.{name}");
        streams.func_wrap(&method, |store, (_,): (Out,)| {
            Entered::new(store, "output-stream.flush", price::STREAM)?;
            Ok((Closed::Ok(()),))
        })?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |store, (_,): (Out,)| {
        Ok((ready(Entered::new(store, "output-stream.subscribe", price::POLLABLE)?)?,))
    })
}

fn writes(streams: &mut Streams<'_>) -> Result<()> {
    for name in ["write", "blocking-write-and-flush"] {
        let method = format!("[method]output-stream.{name}");
        streams.func_wrap(&method, |store, (this, bytes): (Out, WasmList<u8>)| {
            let mut on = Entered::new(store, "output-stream.write", price::STREAM)?;
            let bytes = on.take("contents", &bytes, price::WRITE_PER_BYTE)?.to_vec();
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            on.charge(price::LINE.saturating_mul(lines as u64))?;
            on.store.data_mut().write(this.rep(), &bytes);
            Ok((Closed::Ok(()),))
        })?;
    }
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        let method = format!("[method]output-stream.{name}");
        streams.func_wrap(&method, |store, (this, len): (Out, u64)| {
            let mut on = Entered::new(store, "output-stream.write-zeroes", price::STREAM)?;
            on.charge(price::WRITE_PER_BYTE.saturating_mul(len))?;
            let Some(len) = usize::try_from(len).ok().filter(|_| len <= PERMIT_BYTES) else {
                let text = format!("wrote {len} zeroes at once, the limit is {PERMIT_BYTES}");
                return Err(broken(text));
            };
            on.store.data_mut().write(this.rep(), &vec![0; len]);
            Ok((Closed::Ok(()),))
        })?;
    }
    Ok(())
}

fn splices(streams: &mut Streams<'_>) -> Result<()> {
    for name in ["splice", "blocking-splice"] {
        let method = format!("[method]output-stream.{name}");
        streams.func_wrap(&method, |store, (_, _, _): (Out, In, u64)| {
            Entered::new(store, "output-stream.splice", price::STREAM)?;
            Ok((Closed::<u64>::Err(StreamError::Closed),))
        })?;
    }
    Ok(())
}

fn exit(cli: &mut LinkerInstance<'_, State>) -> Result<()> {
    const RATHER: &str = "return from the exported function instead, with an error if it failed";
    cli.func_wrap("exit", |store, (status,): (std::result::Result<(), ()>,)| {
        Entered::new(store, "exit.exit", price::STREAM)?;
        let how = if status.is_ok() { "as if it had succeeded" } else { "as failed" };
        Err::<(), _>(broken(format!("ended itself {how}; {RATHER}")))
    })?;
    cli.func_wrap("exit-with-code", |store, (code,): (u8,)| {
        Entered::new(store, "exit.exit-with-code", price::STREAM)?;
        Err::<(), _>(broken(format!("ended itself with code {code}; {RATHER}")))
    })
}
