//! Counts up to a limit.
//!
//! ```json
//! {"add": {"by": 2}}
//! {"limit": {"to": 100}}
//! "reset"
//! ```

use althing_sdk::{Actor, Result, actor, data, ensure, info};

data! {
    /// What it is told.
    pub enum Message {
        /// Counts on.
        Add {
            #[schemars(range(min = 1, max = 1000))]
            by: u32,
        },
        /// Sets how far it may count.
        Limit { to: u32 },
        /// Begins again.
        Reset,
    }

    /// What it knows.
    pub struct State {
        pub count: u32,
        pub limit: u32,
    }
}

/// The actor.
pub struct Tally;

impl Actor for Tally {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State { count: 0, limit: 10 }
    }

    fn handle(message: Message, mut state: State) -> Result<State> {
        match message {
            Message::Add { by } => state.count += by,
            Message::Limit { to } => state.limit = to,
            Message::Reset => {
                info!("begins again after {}", state.count);
                state.count = 0;
            }
        }
        Ok(state)
    }

    // What a message must be is in its type, and in the attributes there. What only the state can tell
    // is for this one; it is asked before the message is handled.
    fn message_contract(message: &Message, state: &State) -> Result<()> {
        let is_needless = matches!(message, Message::Reset) && state.count == 0;
        ensure!(!is_needless, "it is at 0 already");
        Ok(())
    }

    // What must be true of every state, whatever the message was.
    fn state_contract(state: &State) -> Result<()> {
        let State { count, limit } = state;
        ensure!(count <= limit, "{count} is more than the limit, which is {limit}");
        Ok(())
    }
}

actor!(Tally);

#[cfg(test)]
mod tests {
    use super::Tally;
    use althing_sdk::{serde_json::json, testing::Stage};

    fn stage() -> Stage {
        let mut stage = Stage::new();
        stage.spawn::<Tally>("one").unwrap();
        stage
    }

    #[test]
    fn it_counts() {
        let mut stage = stage();
        stage.send("one", json!({"add": {"by": 2}})).unwrap();
        let state = stage.send("one", json!({"add": {"by": 3}})).unwrap();
        assert_eq!(state, json!({"count": 5, "limit": 10}));
        assert_eq!(stage.send("one", json!("reset")).unwrap()["count"], 0);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut stage = stage();
        stage.send("one", json!({"add": {"by": 9}})).unwrap();
        let before = stage.state("one");
        for (message, reason) in [
            (json!({"add": {"by": 2}}), "11 is more than the limit, which is 10"),
            (json!({"limit": {"to": 8}}), "9 is more than the limit, which is 8"),
            (json!({"add": {"by": 0}}), "`add.by`: 0, wants at least 1"),
            (json!({"add": {}}), "missing field `by`"),
            (json!({"subtract": 1}), "wants one of"),
        ] {
            let error = stage.send("one", &message).unwrap_err();
            assert!(error.contains(reason), "{message}: {error}");
        }
        assert_eq!(stage.state("one"), before);
    }
}
