//! An entry that is explained tells what was delivered behind it.

use crate::bank::{Bank, quoted};
use althing_protocol::actor;

#[test]
fn deliveries_are_told() {
    let mut bank = Bank::new(&["a", "b"]);
    let sends = vec![actor::send("a", quoted("-1 b")), actor::send("b", quoted("?"))];
    let explained = bank.explain(sends);
    let told: Vec<_> = explained
        .deliveries
        .iter()
        .map(|delivery| (delivery.actor.as_str(), delivery.failure.is_some()))
        .collect();
    assert_eq!(told, [("a", false), ("b", true), ("b", false)]);
    assert!(explained.deliveries.iter().all(|delivery| delivery.step.as_ref().unwrap().fuel > 0));
}
