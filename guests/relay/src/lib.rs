//! A baton that goes from actor to actor: what messages between actors cost, and that a chain of them
//! ends.
//!
//! ```json
//! to first:  {"next": {"runner": "second"}}
//! to second: {"next": {"runner": "first"}}
//! to first:  {"run": {"legs": 10}}
//! ```

use althing_sdk::{Actor, Result, actor, data, ensure};

data! {
    /// What a runner is told.
    pub enum Message {
        /// Who gets the baton next.
        Next { runner: String },
        /// Take the baton; it goes on for so many more legs.
        Run {
            #[schemars(range(min = 0, max = 1_000_000))]
            legs: u32,
        },
    }

    /// A runner.
    #[derive(Default)]
    pub struct State {
        /// Who gets the baton next.
        pub next: Option<String>,
        /// How often it was here.
        #[schemars(range(min = 0))]
        pub runs: u64,
    }
}

/// The actor.
pub struct Relay;

impl Actor for Relay {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State::default()
    }

    fn handle(message: Message, mut state: State) -> Result<State> {
        match message {
            Message::Next { runner } => state.next = Some(runner),
            Message::Run { legs } => {
                state.runs += 1;
                if let (Some(next), Some(legs)) = (&state.next, legs.checked_sub(1)) {
                    actor::send(next, &Message::Run { legs })?;
                }
            }
        }
        Ok(state)
    }

    fn message_contract(message: &Message, state: &State) -> Result<()> {
        let goes_on = matches!(message, Message::Run { legs: 1.. });
        ensure!(!goes_on || state.next.is_some(), "nobody is next; say who with `next`");
        Ok(())
    }
}

actor!(Relay);
