//! The directory: whose it is, who has it open, which version.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod toy;

use althing_log::LogConfig;
use althing_protocol::Kind;
use toy::{Toy, command, config};

#[tokio::test]
async fn two_cannot_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = toy::create(config(dir.path()), Toy::new()).await.unwrap();
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("another process"), "{error}");
    assert!(error.message.contains(dir.path().to_str().unwrap()), "{error}");
    log.shutdown().await.unwrap();
    toy::open(config(dir.path()), Toy::new()).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn a_newer_version_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    toy::create(config(dir.path()), Toy::new()).await.unwrap().shutdown().await.unwrap();
    let format = dir.path().join("format");
    let text = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, text.replace("version 1", "version 2")).unwrap();
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(
        error.message.contains("version 2") && error.message.contains(format.to_str().unwrap()),
        "{error}"
    );
    std::fs::write(&format, "something else").unwrap();
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Internal);
}

#[tokio::test]
async fn another_nodes_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    toy::create(config(dir.path()), Toy::new()).await.unwrap().shutdown().await.unwrap();
    let error = toy::open(LogConfig::new(dir.path(), 2), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("node 1"), "{error}");
}

#[tokio::test]
async fn it_is_created_once_and_opened_only_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::NotFound);
    let log = toy::create(config(dir.path()), Toy::new()).await.unwrap();
    log.propose(command(0)).await.unwrap();
    log.shutdown().await.unwrap();
    let error = toy::create(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Conflict);
    // The refused creation let go of the directory, and harmed nothing.
    let toy = Toy::new();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    assert_eq!(toy.commands(), vec![command(0)]);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_creation_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    toy::create(config(dir.path()), Toy::new()).await.unwrap().shutdown().await.unwrap();
    // As after a crash before the first flush: the format is there, the log is empty.
    for segment in toy::segments(dir.path()) {
        std::fs::remove_file(segment).unwrap();
    }
    std::fs::remove_file(dir.path().join("durable")).unwrap();
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::NotFound);
    let log = toy::create(config(dir.path()), Toy::new()).await.unwrap();
    log.propose(command(0)).await.unwrap();
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_state_ahead_of_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let log = toy::create(config(dir.path()), toy.clone()).await.unwrap();
    log.propose(command(0)).await.unwrap();
    log.shutdown().await.unwrap();
    let mut state = toy.now();
    state.position.index += 5;
    let error = toy::open(config(dir.path()), Toy::of(state)).await.err().unwrap();
    assert_eq!(error.kind, Kind::Internal);
    assert!(error.message.contains("acknowledged entries are gone"), "{error}");
}
