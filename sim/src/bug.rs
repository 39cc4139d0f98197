//! Known bugs, to see that the simulation finds them. None is in the code that ships: each is made
//! at the edge where the simulation stands in for disk, door or peer.

use std::fmt;
use std::str::FromStr;

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A flush is reported as done before it is.
    AckBeforeFlush,
    /// A read is answered without asking a quorum who leads.
    StaleRead,
    /// A vote is kept in memory only.
    LostVote,
    /// A node that lost its disk comes back with the Raft id that it had.
    ReusedId,
    /// A snapshot carries no decided instructions.
    LostSessions,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AckBeforeFlush, Self::StaleRead, Self::LostVote, Self::ReusedId, Self::LostSessions];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeFlush => "ack-before-flush",
            Self::StaleRead => "stale-read",
            Self::LostVote => "lost-vote",
            Self::ReusedId => "reused-id",
            Self::LostSessions => "lost-sessions",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|bug| bug.name() == name).ok_or_else(|| {
            format!("no bug {name:?}; there are: {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
