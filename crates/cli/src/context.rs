//! What every command has: the global flags, where to print, and the node to talk to.

use crate::{output::Output, values};
use althing_client::{Client, Endpoint, Keystore, Options, Token};
use althing_operations::Freshness;
use althing_protocol::{Error, PublicKey, Result, SecretKey};
use clap::Args;
use etcetera::BaseStrategy as _;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const NODE: &str = "Which node";

/// An answer may take a compilation, or a flush of a slow disk.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// An answer may take reading all of the log.
const ANSWER_WAIT_LONG: Duration = Duration::from_secs(6 * 3_600);

/// The flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// Data directory of the node on this machine [default: althing in the user's data directory]
    #[arg(long, global = true, env = "ALTHING_DATA", value_name = "DIR", hide_env_values = true, help_heading = NODE)]
    pub data: Option<PathBuf>,
    /// Configuration of the node, for up [default: config/host.toml beside the data]
    #[arg(long, global = true, env = "ALTHING_CONFIG", value_name = "FILE", hide_env_values = true, help_heading = NODE)]
    pub config: Option<PathBuf>,
    /// Address of the node, when it is not that of the data directory
    #[arg(long, global = true, env = "ALTHING_URL", value_name = "URL", hide_env_values = true, help_heading = NODE)]
    pub url: Option<String>,
    /// File with the token that the node knows this caller by
    #[arg(long, global = true, env = "ALTHING_TOKEN_FILE", value_name = "FILE", hide_env_values = true, help_heading = NODE)]
    pub token_file: Option<PathBuf>,
    /// Sign with this key of the keystore, instead of the key that the node keeps for the token
    #[arg(
        id = "signing_key",
        long = "key",
        global = true,
        env = "ALTHING_KEY", value_name = "NAME", hide_env_values = true, help_heading = NODE)]
    pub key: Option<String>,
    /// How fresh a read is: linearizable (the default), local, or at-least=INDEX
    #[arg(long, global = true, value_name = "FRESHNESS", default_value_t, hide_default_value = true, help_heading = NODE)]
    pub read: Freshness,
    /// Print JSON: one document, or a line per item of a stream
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more; twice for much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What a command runs in.
#[derive(Debug)]
pub(crate) struct Context {
    pub globals: Globals,
    pub out: Output,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        let out = Output::new(globals.json);
        Self { globals, out }
    }

    /// Whether the user wants to know more.
    pub(crate) fn verbose(&self) -> bool {
        self.globals.verbose > 0
    }

    /// The data directory of the node on this machine.
    ///
    /// # Errors
    /// `invalid`, when none is given and this user has no home.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        if let Some(data) = &self.globals.data {
            return Ok(data.clone());
        }
        let base = etcetera::choose_base_strategy().map_err(|e| {
            Error::invalid(format!("data directory: this user has none ({e}); give --data DIR"))
        })?;
        Ok(base.data_dir().join("althing"))
    }

    /// The keys of this user.
    pub(crate) fn keystore(&self) -> Result<Keystore> {
        Keystore::open(Keystore::default_dir()?)
    }

    /// The key to sign with, when one is named.
    pub(crate) fn signer(&self) -> Result<Option<SecretKey>> {
        self.globals.key.as_deref().map(|name| self.keystore()?.load(name)).transpose()
    }

    /// A public key by the name it has in the keystore, or as it is.
    pub(crate) fn public_key(&self, name: &str) -> Result<PublicKey> {
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return name.parse();
        }
        self.keystore()?.show(name).map_err(|e| {
            Error::new(
                e.kind,
                format!("{}; or give a public key as 64 hexadecimal digits", e.message),
            )
        })
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// `unavailable`, when none runs there.
    pub(crate) async fn remote(&self) -> Result<Remote> {
        Remote::connect(&self.endpoint()?, self.signer()?, self.globals.read, ANSWER_WAIT).await
    }

    /// Connects to the node, for a question that takes it long.
    ///
    /// # Errors
    /// `unavailable`, when none runs there.
    pub(crate) async fn patient_remote(&self) -> Result<Remote> {
        Remote::connect(&self.endpoint()?, self.signer()?, self.globals.read, ANSWER_WAIT_LONG)
            .await
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let token = self.globals.token_file.as_deref().map(token).transpose()?;
        match (&self.globals.url, token) {
            (Some(url), Some(token)) => Ok(Endpoint::new(url, token)),
            (url, token) => {
                let found = Endpoint::discover(&self.data()?)?;
                let url = url.as_ref().unwrap_or(&found.url);
                Ok(Endpoint::new(url, token.unwrap_or(found.token)))
            }
        }
    }
}

fn token(path: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(path).map_err(|e| values::file_error(path, &e))?;
    Ok(Token::new(&text))
}

/// A connection to a node, and how fresh its reads are.
pub(crate) struct Remote {
    pub client: Client,
    read: Freshness,
}

impl Remote {
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        signer: Option<SecretKey>,
        read: Freshness,
        answer_timeout: Duration,
    ) -> Result<Self> {
        let options = Options { answer_timeout, ..Options::default() };
        Ok(Self { client: Client::connect_with(endpoint, signer, options).await?, read })
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// The operation's, and `unavailable`.
    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value> {
        self.client.call(operation, input, self.read).await
    }
}
