//! The one grant table: subject x program x method x path prefix. Deny by default.

use crate::{
    Halt,
    cached::{self, Cached},
    keyspace,
};
use althing_protocol::{Error, Need, ProgramId, PublicKey, Result, limits, v1};
use althing_state::{Key, Scope, StateError, Value, View};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::Arc,
};

/// Value that names the table's content; changes with every grant, revocation and role.
const VERSION: &[u8] = b"grants";

/// Of a path that an error names: all of it, if it is an actor's id.
const PATH_BYTES_SHOWN: usize = limits::ACTOR_ID_BYTES_MAX;

/// A reader of views and scopes alike.
pub(crate) trait Read {
    fn read(&self, key: &Key) -> Result<Option<Value>, StateError>;
    fn pairs(&self, keyspace: &str, prefix: &[u8], limit: usize) -> Result<Pairs, StateError>;
}

pub(crate) type Pairs = Vec<(Vec<u8>, Value)>;

impl Read for View {
    fn read(&self, key: &Key) -> Result<Option<Value>, StateError> {
        self.get(key)
    }

    fn pairs(&self, keyspace: &str, prefix: &[u8], limit: usize) -> Result<Pairs, StateError> {
        Ok(self.scan(keyspace, Bound::Unbounded, prefix, limit, usize::MAX)?.pairs)
    }
}

impl Read for Scope {
    fn read(&self, key: &Key) -> Result<Option<Value>, StateError> {
        self.get(key)
    }

    fn pairs(&self, keyspace: &str, prefix: &[u8], limit: usize) -> Result<Pairs, StateError> {
        Ok(self.scan(keyspace, Bound::Unbounded, prefix, limit, usize::MAX)?.pairs)
    }
}

/// Who does something: an author, or a program that calls another one.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A key, with the roles it has.
    Key(&'a PublicKey),
    /// A program.
    Program(&'a str),
}

impl Subject<'_> {
    fn spoken(self) -> String {
        self.to_string().replacen(':', " ", 1)
    }
}

/// As grants name it.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Program(program) => write!(f, "program:{program}"),
        }
    }
}

impl<'a> From<&'a PublicKey> for Subject<'a> {
    fn from(key: &'a PublicKey) -> Self {
        Self::Key(key)
    }
}

/// All grants and roles of one state, ready to be asked.
#[derive(Debug, Default)]
pub struct GrantTable {
    by_subject: BTreeMap<String, Vec<v1::Grant>>,
    exclusive: Vec<v1::Grant>,
    roles: BTreeMap<PublicKey, BTreeSet<String>>,
}

impl GrantTable {
    pub(crate) fn load(state: &impl Read) -> Result<Self, Halt> {
        let mut table = Self::default();
        for (_, bytes) in state.pairs(keyspace::GRANT, b"", usize::MAX)? {
            let grant: v1::Grant = decode_stored("grant", &bytes)?;
            if grant.exclusive {
                table.exclusive.push(grant.clone());
            }
            table.by_subject.entry(grant.subject.clone()).or_default().push(grant);
        }
        for (key, _) in state.pairs(keyspace::ROLE, b"", usize::MAX)? {
            let (role, member) = split_role(&key)?;
            table.roles.entry(member).or_default().insert(role);
        }
        Ok(table)
    }

    /// Whether `subject` may do what `need` says at time `now_us`.
    ///
    /// # Errors
    /// As [`granting`](Self::granting).
    pub fn allow<'a>(
        &self,
        subject: impl Into<Subject<'a>>,
        need: &Need,
        now_us: u64,
    ) -> Result<()> {
        self.granting(subject, need, now_us).map(drop)
    }

    /// The grant that lets `subject` do what `need` says at time `now_us`: the most specific one.
    ///
    /// Where exclusive grants reach, the one with the longest prefix decides: only grants of that
    /// prefix or a longer one count.
    ///
    /// # Errors
    /// `denied`, naming the missing grant and the command that gives it.
    pub fn granting<'a>(
        &self,
        subject: impl Into<Subject<'a>>,
        need: &Need,
        now_us: u64,
    ) -> Result<&v1::Grant> {
        let subject = subject.into();
        self.find(subject, need, now_us).map_err(|reserved| denial(subject, need, reserved))
    }

    /// The same as [`allow`](Self::allow), for who does not want to know why not: that text is made of
    /// the path, which can be long.
    pub(crate) fn allows<'a>(
        &self,
        subject: impl Into<Subject<'a>>,
        need: &Need,
        now_us: u64,
    ) -> bool {
        self.find(subject.into(), need, now_us).is_ok()
    }

    /// Without a grant, it gives whether an exclusive one reserves it for others.
    fn find(
        &self,
        subject: Subject<'_>,
        need: &Need,
        now_us: u64,
    ) -> std::result::Result<&v1::Grant, bool> {
        let reaches = |grant: &&v1::Grant| is_live(grant, now_us) && covers(grant, need);
        let floor = self.exclusive.iter().filter(reaches).map(|grant| grant.prefix.len()).max();
        self.grants_of(subject)
            .filter(reaches)
            .filter(|grant| grant.prefix.len() >= floor.unwrap_or(0))
            .max_by_key(|grant| grant.prefix.len())
            .ok_or(floor.is_some())
    }

    /// Whether anything at all is granted to `key`.
    pub fn knows(&self, key: &PublicKey, now_us: u64) -> bool {
        self.grants_of(Subject::Key(key)).any(|grant| is_live(grant, now_us))
    }

    /// Whether `key` is a member of `role`.
    pub(crate) fn has_role(&self, key: &PublicKey, role: &str) -> bool {
        self.roles.get(key).is_some_and(|roles| roles.contains(role))
    }

    fn grants_of(&self, subject: Subject<'_>) -> impl Iterator<Item = &v1::Grant> {
        let roles = match subject {
            Subject::Key(key) => self.roles.get(key),
            Subject::Program(_) => None,
        };
        let roles = roles.into_iter().flatten().map(|role| format!("role:{role}"));
        [subject.to_string(), "any".to_owned()]
            .into_iter()
            .chain(roles)
            .filter_map(|subject| self.by_subject.get(&subject))
            .flatten()
    }

    /// Whether a key could still change the grants at `now_us`: nobody may lock everybody out.
    pub(crate) fn has_grantor(&self) -> bool {
        let need = Need::new(althing_protocol::SYS, "grant");
        let lasting = |grant: &v1::Grant| grant.expires_us == 0 && covers(grant, &need);
        self.by_subject.iter().any(|(subject, grants)| {
            let held = match subject.split_once(':') {
                Some(("key", _)) => true,
                Some(("role", role)) => self.roles.values().any(|roles| roles.contains(role)),
                _ => false,
            };
            held && grants.iter().any(lasting)
        })
    }
}

fn is_live(grant: &v1::Grant, now_us: u64) -> bool {
    grant.expires_us == 0 || now_us < grant.expires_us
}

fn covers(grant: &v1::Grant, need: &Need) -> bool {
    (grant.program == "*" || grant.program == need.program)
        && grant.method.split('|').any(|method| method == "*" || method == need.method)
        && is_prefix(&grant.prefix, &need.path)
}

/// Prefix by whole segments: `/a` reaches `/a` and `/a/b`, not `/ab`.
pub(crate) fn is_prefix(prefix: &[u8], path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    prefix.is_empty() || prefix.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
}

fn denial(subject: Subject<'_>, need: &Need, reserved: bool) -> Error {
    let reserved = if reserved { "; an exclusive grant reserves it for others" } else { "" };
    let Need { program, method, path } = need;
    let (at, prefix) = match path.is_empty() {
        true => Default::default(),
        false => (format!(" at {}", start(path)), format!(" --prefix '{}'", start(path))),
    };
    Error::denied(format!(
        "{} lacks a grant for {program}/{method}{at}{reserved}; who may grant runs: althing grant \
         {subject} {program}/{method}{prefix}",
        subject.spoken()
    ))
}

/// As much of a path as an error has room for, twice, with the remedy behind it.
fn start(path: &[u8]) -> String {
    match path.split_at_checked(PATH_BYTES_SHOWN) {
        Some((start, rest)) if !rest.is_empty() => format!("{}...", start.escape_ascii()),
        _ => path.escape_ascii().to_string(),
    }
}

/// Checks a grant before it enters the table.
///
/// # Errors
/// `invalid`, naming the field.
pub(crate) fn check_grant(grant: &v1::Grant) -> Result<()> {
    check_subject(&grant.subject)?;
    if grant.program != "*" {
        ProgramId::new(grant.program.as_str())?;
    }
    let part = |m: &str| !m.is_empty() && m.bytes().all(|b| b.is_ascii_graphic());
    if grant.method.len() > limits::METHOD_BYTES_MAX || !grant.method.split('|').all(part) {
        return Err(Error::invalid(format!(
            "method {:?} of the grant: wants a method, several with | between, or *",
            grant.method
        )));
    }
    if grant.prefix.len() > limits::KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "prefix of the grant: {} bytes, the limit is {}",
            grant.prefix.len(),
            limits::KEY_BYTES_MAX
        )));
    }
    Ok(())
}

fn check_subject(subject: &str) -> Result<()> {
    let known = match subject.split_once(':') {
        Some(("key", key)) => key.parse::<PublicKey>().is_ok_and(|k| k.to_string() == key),
        Some(("role", name)) => check_role(name).is_ok(),
        Some(("program", id)) => ProgramId::new(id).is_ok(),
        _ => subject == "any",
    };
    if known {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "subject {subject:?} of the grant: wants key:HEX in lower case, role:NAME, program:ID or any"
    )))
}

/// Roles are named like programs.
pub(crate) fn check_role(role: &str) -> Result<()> {
    ProgramId::new(role).map(drop).map_err(|_| {
        Error::invalid(format!("role {role:?}: use 1 to 64 of a-z 0-9 - _, a letter first"))
    })
}

pub(crate) fn role_key(role: &str, member: &PublicKey) -> Key {
    Key::new(keyspace::ROLE, &[role.as_bytes(), &[0], member.as_bytes()].concat())
}

pub(crate) fn split_role(key: &[u8]) -> Result<(String, PublicKey), Halt> {
    let broken = || Halt::new("state: a role membership is malformed");
    let at = key.iter().position(|b| *b == 0).ok_or_else(broken)?;
    let role = String::from_utf8(key[..at].to_vec()).map_err(|_| broken())?;
    Ok((role, PublicKey::try_from(&key[at + 1..]).map_err(|_| broken())?))
}

pub(crate) fn decode_stored<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, Halt> {
    keyspace::stored(what, bytes).map_err(|e| Halt::new(e.message))
}

/// Whether the table changed among the writes of `scope`.
pub(crate) fn is_touched(scope: &Scope) -> bool {
    scope.writes().get(&version_key()).is_some()
}

/// Marks the table as changed by `change`: the new version names the new content.
pub(crate) fn touch(scope: &mut Scope, change: &[u8]) -> Result<(), crate::Fault> {
    cached::touch(scope, version_key(), change).map(drop)
}

fn version_key() -> Key {
    Key::new(keyspace::META, VERSION)
}

/// The last table used.
#[derive(Debug, Default)]
pub(crate) struct GrantCache(Cached<GrantTable>);

impl GrantCache {
    pub(crate) fn get(&self, state: &impl Read) -> Result<Arc<GrantTable>, Halt> {
        self.0.get(state, &version_key(), GrantTable::load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_ends_with_the_remedy_however_long_its_parts_are() {
        let program = "p".repeat(limits::PROGRAM_ID_BYTES_MAX);
        let method = "m".repeat(limits::METHOD_BYTES_MAX);
        let subject = Subject::Program(&program);
        for (bytes, shown, rest) in [
            (1, 1, ""),
            (PATH_BYTES_SHOWN, PATH_BYTES_SHOWN, ""),
            (limits::KEY_BYTES_MAX, PATH_BYTES_SHOWN, "..."),
        ] {
            let need = Need::new(program.as_str(), method.as_str()).at(vec![0xff; bytes]);
            let (text, path) = (denial(subject, &need, true).message, "\\xff".repeat(shown));
            let remedy = format!("grant {subject} {program}/{method} --prefix '{path}{rest}'");
            assert!(text.ends_with(&remedy), "{text}");
        }
    }
}
