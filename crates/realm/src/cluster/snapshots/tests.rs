#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{put, realm};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_was_cut_is_shown_no_more() {
    let dir = TempDir::new().unwrap();
    let realm = realm(&dir.path().join("realm")).await;
    put(&realm, "a", 3).await;
    let sent = realm.core.outbox.offer(&realm.core).await.unwrap();
    let (to, genesis) = (dir.path().join("to"), realm.core.store.genesis());
    let receiver = || Receiver::open(&to, &genesis, sent.offer().clone(), u64::MAX).unwrap();
    let (bytes, received) = (sent.offer().bytes, watch::Sender::new(None));
    let part = || Ok(sent.chunk(0, 9).unwrap());
    let cut = || Err(Error::unavailable("the sender has gone"));

    let shown = received.subscribe();
    let look = || *shown.borrow();
    let chunks = stream::iter(0..).map(|n| match n {
        0 => part(),
        _ => {
            assert_eq!(look(), Some((9, bytes)));
            cut()
        }
    });
    let error = the_rest(receiver(), bytes, &received, chunks).await.unwrap_err();
    assert_eq!((error.message.as_str(), look()), ("the sender has gone", None));

    // One that is given up in between, as when the connection ends.
    let mut left = Box::pin(the_rest(receiver(), bytes, &received, stream::pending()));
    assert!(futures::poll!(&mut left).is_pending());
    drop(left);
    assert_eq!(look(), None);

    let rest = stream::iter([Ok(sent.chunk(9, usize::MAX).unwrap())]);
    let file = the_rest(receiver(), bytes, &received, rest).await.unwrap();
    assert_eq!((file.position, look()), (sent.offer().position(), None));
    realm.shutdown().await.unwrap();
}
