//! `[peers]`: where other nodes reach this one.

use althing_protocol::{Error, Result, check_address};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

section! {
    /// `[peers]`: the other nodes of the realm.
    Peers {
        /// Where it listens for them; empty for a node that does not.
        listen: Listen = Listen(None),
        /// `HOST:PORT` at which they reach it; empty for the address that it listens on.
        advertise: String = String::new(),
    }
}

/// `peers.listen`: an address, or an empty text for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(pub Option<SocketAddr>);

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" => Ok(Self(None)),
            text => text.parse().map(|address| Self(Some(address))).map_err(|_| {
                format!(
                    "{text:?} is no address to listen on; wants IP:PORT, like 0.0.0.0:3001, or an \
                     empty text"
                )
            }),
        }
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.0.map_or_else(Self::new, |address| address.to_string())
    }
}

impl Peers {
    /// `HOST:PORT` at which other nodes reach this one; empty when they cannot. Port 0 stands for the
    /// one that it gets.
    ///
    /// # Errors
    /// `invalid` when that is no address, or nobody listens there.
    pub(crate) fn address(&self) -> Result<String> {
        match (self.listen.0, self.advertise.as_str()) {
            (None, "") => Ok(String::new()),
            (None, advertise) => Err(Error::invalid(format!(
                "peers.advertise {advertise:?}: this node listens to no other node, so they would \
                 dial in vain; set peers.listen too, like 0.0.0.0:3001"
            ))),
            (Some(listen), "") if listen.ip().is_unspecified() => Err(Error::invalid(format!(
                "peers.listen {listen}: is every address of this machine, so other machines must be \
                 told one; set peers.advertise to HOST:PORT as they reach it, like desktop.lan:{}",
                listen.port()
            ))),
            (Some(listen), "") => Ok(listen.to_string()),
            (Some(_), advertise) => {
                let named = |e: Error| Error::invalid(format!("peers.advertise: {}", e.message));
                check_address(advertise).map_err(named)?;
                Ok(advertise.to_owned())
            }
        }
    }
}
