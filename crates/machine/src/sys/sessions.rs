//! Opening and closing sessions.

use crate::{Fault, keyspace, native::Call, sessions};
use althing_protocol::{Error, Result, limits, v1};
use althing_state::Key;
use prost::Message;

pub(super) fn check(open: &v1::SessionOpen) -> Result<()> {
    if open.label.len() <= limits::SESSION_LABEL_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "label of the session: {} bytes, the limit is {}",
        open.label.len(),
        limits::SESSION_LABEL_BYTES_MAX
    )))
}

/// Opens a session. Its number is the entry's index and the place in it, so it is never reused. At
/// the limit the author's least recently used session is closed: a client that crashed leaves one
/// behind each time.
pub(super) fn open(call: &mut Call<'_>, open: v1::SessionOpen) -> Result<v1::SessionOpened, Fault> {
    let author = call.context.author;
    let mut open_now = sessions::list(call.scope, &author)?;
    open_now.sort_by_key(|session| (session.state.used, session.session));
    let excess = (open_now.len() + 1).saturating_sub(limits::SESSIONS_PER_AUTHOR_MAX);
    for oldest in &open_now[..excess] {
        close(call, oldest.session)?;
    }
    let index = call.context.index;
    let session = index << 8 | u64::from(call.context.position);
    let state = v1::SessionState { highest: 0, opened: index, used: index, label: open.label };
    call.scope.put(sessions::session_key(&author, session), state.encode_to_vec())?;
    Ok(v1::SessionOpened { session })
}

pub(super) fn close(call: &mut Call<'_>, session: u64) -> Result<Vec<u8>, Fault> {
    let author = call.context.author;
    if session == 0 {
        return Err(Error::invalid("session 0: every author has it, it cannot be closed").into());
    }
    sessions::find(call.scope, &author, session)??;
    call.scope.delete(sessions::session_key(&author, session))?;
    let prefix = sessions::session_bytes(&author, session);
    let window = limits::SESSION_WINDOW as usize;
    let bound = std::ops::Bound::Unbounded;
    let page = call.scope.scan(keyspace::DECIDED, bound, &prefix, window, usize::MAX)?;
    for (key, _) in page.pairs {
        call.scope.delete(Key::new(keyspace::DECIDED, &key))?;
    }
    Ok(Vec::new())
}
