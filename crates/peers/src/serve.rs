//! Serving the streams that a peer opens.

use crate::{
    Handler, Pipe, Standing,
    frame::{FrameError, Reader, Tag},
    header::{Form, HEADER_BYTES, Header},
    limits,
    link::{Channel, Link},
    shared::Shared,
};
use althing_protocol::{Error, Kind as ErrorKind};
use bytes::Bytes;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::{io::AsyncRead, sync::OwnedSemaphorePermit, time::timeout};

/// Streams that the peer of `link` may have open, by who it is now.
pub(crate) fn streams_max(handler: &dyn Handler, link: &Link) -> usize {
    match handler.standing(&link.key) {
        Ok(Standing::Member) => limits::SERVED_STREAMS_MAX,
        Ok(Standing::Stranger) => limits::STRANGER_STREAMS_MAX,
        Err(_) => 0,
    }
}

/// What a call of the peer of `link` may hold, by who it is now.
fn body_max(handler: &dyn Handler, link: &Link) -> usize {
    match handler.standing(&link.key) {
        Ok(Standing::Member) => limits::FRAME_BYTES_MAX,
        _ => limits::STRANGER_CALL_BYTES_MAX,
    }
}

/// Serves one stream to its end.
pub(crate) async fn serve(shared: Arc<Shared>, link: Arc<Link>, mut channel: Channel) {
    let Ok(Ok(Some(header))) = timeout(limits::HEADER_MAX, header(&mut channel.reader)).await
    else {
        tracing::debug!(peer = %link.key, "a stream without a header; it is closed");
        return;
    };
    let Header { realm, kind, .. } = header;
    if let Err(refusal) = shared.handler.admits(&link.key, &realm, kind) {
        let (key, kind) = (link.key, kind.0);
        let what =
            format!("refused a message of kind {kind} to realm {realm} from node {key}: {refusal}");
        match refusal.kind {
            // It is this side that cannot.
            ErrorKind::Unavailable => tracing::debug!("{what}"),
            _ => shared.notices.say(format_args!("{what}")),
        }
        let _ = timeout(limits::BODY_MAX, channel.writer.fail(&refusal)).await;
        return;
    }
    let handler = shared.handler.clone();
    match header.form {
        Form::Call => {
            let over = link.over.clone();
            over.run_until_cancelled_owned(call(handler, link, header, channel)).await;
        }
        Form::Pipe => pipe(handler, link, header, channel).await,
    }
}

async fn header<R: AsyncRead + Unpin>(
    reader: &mut Reader<R>,
) -> Result<Option<Header>, FrameError> {
    let head = reader.head().await?;
    if head.tag != Tag::Data || head.len != HEADER_BYTES {
        return Ok(None);
    }
    Ok(Header::decode(&reader.body(head).await?))
}

async fn call(handler: Arc<dyn Handler>, link: Arc<Link>, header: Header, mut channel: Channel) {
    let len_max = body_max(&*handler, &link);
    let answer = match timeout(limits::BODY_MAX, body(&link, &mut channel, len_max)).await {
        Ok(Ok((body, _held))) => {
            let answer =
                guarded(&link, header, || handler.call(link.key, header.realm, header.kind, body));
            tokio::select! {
                answer = answer => answer.unwrap_or_else(Err),
                // The caller says nothing more: what comes is its end.
                _ = channel.reader.head() => return,
            }
        }
        Ok(Err(FrameError::Cut)) => return,
        Ok(Err(error)) => Err(Error::invalid(format!("a call to a peer: {error}"))),
        Err(_) => Err(Error::unavailable(format!(
            "a call to a peer: its body did not arrive in {:?}",
            limits::BODY_MAX
        ))),
    };
    let answer = answer.and_then(|answer| match answer.len() <= limits::FRAME_BYTES_MAX {
        true => Ok(answer),
        false => Err(Error::internal(format!(
            "a call of kind {}: the answer has {} bytes, at most {} fit",
            header.kind.0,
            answer.len(),
            limits::FRAME_BYTES_MAX
        ))),
    });
    let send = async {
        match &answer {
            Ok(answer) => channel.writer.send(Tag::Data, answer).await,
            Err(error) => channel.writer.fail(error).await,
        }
    };
    let _ = timeout(limits::BODY_MAX, send).await;
}

/// The body of a call, and the right to hold that many bytes.
async fn body(
    link: &Link,
    channel: &mut Channel,
    len_max: usize,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), FrameError> {
    let head = channel.reader.head().await?;
    if head.tag != Tag::Data {
        return Err(FrameError::Cut);
    }
    if head.len > len_max {
        return Err(FrameError::TooLarge { len: head.len, max: len_max });
    }
    let held = if head.len > limits::SMALL_CALL_BYTES_MAX {
        link.bodies.clone().acquire_many_owned(head.len as u32).await.ok()
    } else {
        None
    };
    Ok((channel.reader.body(head).await?, held))
}

async fn pipe(handler: Arc<dyn Handler>, link: Arc<Link>, header: Header, mut channel: Channel) {
    let accepted = timeout(limits::HEADER_MAX, channel.writer.send(Tag::Data, &[])).await;
    if !matches!(accepted, Ok(Ok(()))) {
        return;
    }
    let pipe = Pipe::new(link.clone(), channel);
    let _ =
        guarded(&link, header, || handler.pipe(link.key, header.realm, header.kind, pipe)).await;
}

/// Runs a handler so that its panic costs this one stream.
async fn guarded<T, F: Future<Output = T>>(
    link: &Link,
    header: Header,
    handle: impl FnOnce() -> F,
) -> Result<T, Error> {
    let run = AssertUnwindSafe(async { handle().await }).catch_unwind();
    run.await.map_err(|_| {
        let kind = header.kind.0;
        tracing::error!(peer = %link.key, realm = %header.realm, kind, "the handler panicked");
        Error::internal(format!("a call of kind {kind}: a defect of the node; its log says more"))
    })
}
