//! The host of an actor: it keeps what is logged and sent.

use super::Sent;
use crate::{
    host::{CallContext, Host, Level, NOBODY},
    state::State,
};
use althing_protocol::{
    ActorId,
    limits::{ACTOR_SENDS_BYTES_MAX, ACTOR_SENDS_MAX},
};
use std::any::Any;

/// What the functions of one run logged and sent.
#[derive(Debug, Default)]
pub(crate) struct ActorHost {
    pub(super) logs: Vec<String>,
    pub(super) sends: Vec<Sent>,
    sends_bytes: usize,
}

impl ActorHost {
    /// Keeps a message until the run has ended; one too many is refused in words that follow "it".
    pub(crate) fn send(&mut self, to: ActorId, message: Vec<u8>) -> Result<(), String> {
        const RATHER: &str = "send fewer, or let those who get them send on";
        if self.sends.len() == ACTOR_SENDS_MAX {
            return Err(format!("sent more than {ACTOR_SENDS_MAX} messages; {RATHER}"));
        }
        self.sends_bytes += to.as_str().len() + message.len();
        if self.sends_bytes > ACTOR_SENDS_BYTES_MAX {
            return Err(format!("sent more than {ACTOR_SENDS_BYTES_MAX} bytes in all; {RATHER}"));
        }
        self.sends.push(Sent { to: to.as_str().to_owned(), message });
        Ok(())
    }
}

/// An actor knows neither who calls nor when: to its WASI, clocks stand at zero, and so does the seed.
impl Host for ActorHost {
    fn context(&self) -> &CallContext {
        NOBODY
    }

    fn log(&mut self, _: Level, text: &str) {
        self.logs.push(text.to_owned());
    }
}

impl State {
    /// The host, which is an actor's: a contract can import nothing that asks for it.
    pub(crate) fn actor(&mut self) -> &mut ActorHost {
        let host: &mut dyn Any = &mut *self.host;
        match host.downcast_mut() {
            Some(host) => host,
            None => unreachable!("only actors have an actor's functions"),
        }
    }
}
