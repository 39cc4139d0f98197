//! Where a node is, and what it lets in.

use althing_protocol::{Error, Result};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A bearer token. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token that `text` is, without surrounding white space.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The token itself, for a header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Where a node is, and the token that it lets in.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Like `http://127.0.0.1:3000`.
    pub url: String,
    /// Says who calls.
    pub token: Token,
}

impl Endpoint {
    /// The node at `address`, with or without `http://`.
    pub fn new(address: &str, token: Token) -> Self {
        let address = address.trim().trim_end_matches('/');
        let url = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        Self { url, token }
    }

    /// The node that runs on `data_dir`, as its caller `local`.
    ///
    /// # Errors
    /// `unavailable` when no node runs there; `denied` when its files may not be read.
    pub fn discover(data_dir: &Path) -> Result<Self> {
        check_running(data_dir)?;
        let address = read(data_dir, data_dir.join("address"))?;
        let token = read(data_dir, data_dir.join("callers").join("local.token"))?;
        Ok(Self::new(&address, Token::new(&token)))
    }
}

/// A node that was killed leaves its address behind. Whoever listens there now must not get the
/// token, so the lock is asked: the system lets go of it when its process ends.
fn check_running(data_dir: &Path) -> Result<()> {
    let path = data_dir.join("lock");
    let is_held = match fs::File::open(&path) {
        Ok(lock) => matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
        Err(_) => false,
    };
    if is_held {
        return Ok(());
    }
    Err(Error::unavailable(format!(
        "node of {}: does not run; start it with `althing up`, or name another data directory",
        data_dir.display()
    )))
}

fn read(data_dir: &Path, path: PathBuf) -> Result<Zeroizing<String>> {
    let shown = path.display();
    fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::unavailable(format!(
            "node of {}: {shown} is not there; start the node with `althing up`, or name another \
             data directory",
            data_dir.display()
        )),
        io::ErrorKind::PermissionDenied => Error::denied(format!(
            "{shown}: {error}; it is for the user who runs the node, give another token"
        )),
        _ => Error::internal(format!("{shown}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    #[test]
    fn a_data_directory_says_where_its_node_is() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Endpoint::discover(dir.path()).unwrap_err();
        assert_eq!(missing.kind, Kind::Unavailable);
        assert!(missing.message.contains("althing up"), "{missing}");

        fs::create_dir(dir.path().join("callers")).unwrap();
        fs::write(dir.path().join("address"), "127.0.0.1:3000\n").unwrap();
        fs::write(dir.path().join("callers/local.token"), "secret\n").unwrap();
        let lock = fs::File::create(dir.path().join("lock")).unwrap();
        let killed = Endpoint::discover(dir.path()).unwrap_err();
        assert!(killed.message.contains("does not run"), "nobody holds the lock: {killed}");
        lock.try_lock().unwrap();
        let endpoint = Endpoint::discover(dir.path()).unwrap();
        assert_eq!(endpoint.url, "http://127.0.0.1:3000");
        assert_eq!(endpoint.token.expose(), "secret");
        assert!(!format!("{endpoint:?}").contains("secret"));
    }

    #[test]
    fn addresses() {
        for given in ["http://h:1", "http://h:1/", " h:1\n"] {
            assert_eq!(Endpoint::new(given, Token::new("t")).url, "http://h:1");
        }
    }
}
