//! What a node writes into its log about those who connect.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_protocol::SecretKey;
use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};
use support::{Node, eventually, raw::Raw};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Keeps the lines that an operator sees.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("althing_peers")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What the node writes while `key` connects and goes.
async fn visit(node: &Node, key: &SecretKey) -> Vec<String> {
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
    let raw = Raw::connect(node.peers.local_addr().unwrap(), key).await;
    eventually("it is there", || !node.connections().is_empty()).await;
    drop(raw);
    eventually("it is gone", || node.connections().is_empty()).await;
    let lines = lines.0.lock().unwrap();
    lines.clone()
}

#[tokio::test]
async fn strangers_that_come_and_go_leave_no_lines() {
    let node = Node::start(1).await;
    let key = SecretKey::from_seed(&[3; 32]);
    for _ in 0..3 {
        assert_eq!(visit(&node, &key).await, Vec::<String>::new());
    }
    node.does.add(key.public());
    let lines = visit(&node, &key).await;
    assert!(lines[0].contains(&key.public().to_string()) && lines[0].contains("connected"));
}
