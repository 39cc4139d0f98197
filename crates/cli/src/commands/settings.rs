//! Flags that stand for keys of a node's configuration.

use std::net::SocketAddr;

/// What can be said of a node on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Settings {
    /// Where to listen for callers; port 0 takes a free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where to listen for other nodes, like 0.0.0.0:3001 [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    peers: Option<SocketAddr>,
    /// Where other nodes reach this one [default: the address of --peers]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Set a key of the configuration, like log.flush_wait_us=100; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("wants SECTION.KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Settings {
    /// As keys and values.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let listen = self.listen.map(|address| ("http.listen", address.to_string()));
        let peers = self.peers.map(|address| ("peers.listen", address.to_string()));
        let advertise = self.advertise.clone().map(|address| ("peers.advertise", address));
        let named = [listen, peers, advertise].into_iter().flatten();
        let named = named.map(|(key, value)| (key.to_owned(), value));
        self.set.iter().cloned().chain(named).collect()
    }
}
