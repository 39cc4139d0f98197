#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{Kind, Pipe, handler::Deaf, pulse::Pulse};
use althing_protocol::RealmId;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::net::SocketAddr;

/// Knows everybody as a member.
struct Friend;

impl Handler for Friend {
    fn standing(&self, _: &PublicKey) -> Result<Standing, Error> {
        Ok(Standing::Member)
    }

    fn admits(&self, from: &PublicKey, realm: &RealmId, kind: Kind) -> Result<(), Error> {
        Deaf.admits(from, realm, kind)
    }

    fn call(
        &self,
        from: PublicKey,
        realm: RealmId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Error>> {
        Deaf.call(from, realm, kind, body)
    }

    fn pipe(&self, _: PublicKey, _: RealmId, _: Kind, _: Pipe) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

const SMALL: PublicKey = PublicKey([1; 32]);
const LARGE: PublicKey = PublicKey([2; 32]);

fn peer(key: PublicKey) -> Peer {
    Peer { key, address: "there:1".into() }
}

/// The host with the number `n`.
fn source(n: usize) -> Source {
    SocketAddr::from(([10, 0, 0, n as u8], 1)).into()
}

/// A connection that came from `source`, or was dialled.
fn link(key: PublicKey, boot: u64, source: Option<Source>, traffic: Arc<Traffic>) -> Arc<Link> {
    let (pulse, over) = (Arc::new(Pulse::new()), CancellationToken::new());
    Link::new(peer(key), boot, source, pulse, traffic, over).0
}

fn dial(table: &mut Table, to: PublicKey) -> Dial {
    match table.next(&peer(to), Instant::now(), &CancellationToken::new()) {
        Next::Dial(dial, _) => dial,
        _ => panic!("somebody else dials"),
    }
}

fn accept(table: &mut Table, from: PublicKey, boot: u64) -> Verdict {
    accept_by(&Friend, table, from, boot, source(0))
}

fn accept_by(
    who: &dyn Handler,
    table: &mut Table,
    from: PublicKey,
    boot: u64,
    source: Source,
) -> Verdict {
    let make = |traffic| link(from, boot, Some(source), traffic);
    table.accept(&peer(from), source, boot, who, make)
}

/// A message between the two nodes that dial each other: a greeting there, a verdict back.
#[derive(Clone, Debug)]
enum Step {
    Greet { small: bool },
    Arrive { small: bool },
    Answer { small: bool },
}

/// One dialling of each side, in an order of steps; the connections that both have in the end.
fn play(order: &[Step]) -> (Option<bool>, Option<bool>) {
    let mut tables = [Table::new(SMALL), Table::new(LARGE)];
    let keys = [SMALL, LARGE];
    let dials = [dial(&mut tables[0], LARGE), dial(&mut tables[1], SMALL)];
    let (mut greeted, mut verdicts) = ([false; 2], [None, None]);
    for step in order {
        match step {
            Step::Greet { small } => {
                let me = usize::from(!small);
                greeted[me] = tables[me].greet(&keys[1 - me], dials[me].id);
            }
            Step::Arrive { small } => {
                let me = usize::from(!small);
                if greeted[me] {
                    verdicts[me] = Some(accept(&mut tables[1 - me], keys[me], 7));
                }
            }
            Step::Answer { small } => {
                let me = usize::from(!small);
                if let Some(Verdict::Welcome) = verdicts[me].take() {
                    let made = link(keys[1 - me], 7, None, dials[me].traffic.clone());
                    tables[me].dialled(dials[me].id, &made);
                }
            }
        }
    }
    // Which of the two dialled what each side ended with.
    let end = |me: usize| match &tables[me].slots[&keys[1 - me]].state {
        State::Connected(link) => Some(link.dialled() == (me == 0)),
        _ => None,
    };
    (end(0), end(1))
}

#[test]
fn both_dial_and_one_connection_stays_in_every_order() {
    let side = |small| [Step::Greet { small }, Step::Arrive { small }, Step::Answer { small }];
    let (small, large) = (side(true), side(false));
    let mut seen = [false; 2];
    // All ways to shuffle three steps of one side into three of the other.
    for mask in 0u32..64 {
        if mask.count_ones() != 3 {
            continue;
        }
        let (mut a, mut b) = (small.iter(), large.iter());
        let order: Vec<_> = (0..6)
            .map(|bit| if mask >> bit & 1 == 1 { a.next() } else { b.next() })
            .map(|step| step.unwrap().clone())
            .collect();
        let (one, other) = play(&order);
        assert!(one.is_some() && one == other, "{order:?}: {one:?}, {other:?}");
        seen[usize::from(one == Some(true))] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn of_two_machines_with_one_key_the_first_stays() {
    let mut table = Table::new(SMALL);
    let dial = dial(&mut table, LARGE);
    assert!(table.greet(&LARGE, dial.id));
    let first = link(LARGE, 7, None, dial.traffic);
    assert!(table.dialled(dial.id, &first));
    // The machine itself, which has not heard yet that it is connected.
    assert_eq!(accept(&mut table, LARGE, 7), Verdict::Yield);
    let verdict = accept(&mut table, LARGE, 8);
    assert!(matches!(verdict, Verdict::Refused(e) if e.message.contains("same key")));
    assert!(!first.over.is_cancelled());
}

#[test]
fn strangers_do_not_fill_the_table() {
    let (mut table, key) = (Table::new(SMALL), |n: usize| PublicKey([n as u8 + 10; 32]));
    let mut come = |key, n| accept_by(&Deaf, &mut table, key, 7, source(n));
    for n in 0..limits::STRANGER_CONNECTIONS_MAX {
        assert_eq!(come(key(n), n), Verdict::Welcome);
    }
    let refused = come(LARGE, 99);
    assert!(matches!(refused, Verdict::Refused(e) if e.message.contains("16 of your kind are")));
    // One of them may come again, in place of itself.
    assert_eq!(come(key(0), 0), Verdict::Welcome);
    let State::Connected(gone) = &table.slots[&key(0)].state else { panic!("not there") };
    let gone = gone.clone();
    table.lost(&gone, Instant::now(), &Deaf);
    assert_eq!(table.slots.len(), limits::STRANGER_CONNECTIONS_MAX - 1);
    assert_eq!(accept_by(&Deaf, &mut table, LARGE, 7, source(99)), Verdict::Welcome);
}

#[test]
fn one_source_does_not_take_the_places_of_all_strangers() {
    let (mut table, key) = (Table::new(SMALL), |n: usize| PublicKey([n as u8 + 10; 32]));
    let mut come = |who: &dyn Handler, n, from| accept_by(who, &mut table, key(n), 7, source(from));
    for n in 0..limits::STRANGER_CONNECTIONS_PER_SOURCE_MAX {
        assert_eq!(come(&Deaf, n, 0), Verdict::Welcome);
    }
    let refused = come(&Deaf, 90, 0);
    assert!(matches!(refused, Verdict::Refused(e) if e.message.contains("from your address")));
    assert_eq!(come(&Deaf, 91, 1), Verdict::Welcome);
    // Members that share an address are not counted by it.
    let mut table = Table::new(SMALL);
    for n in 0..limits::STRANGER_CONNECTIONS_MAX {
        assert_eq!(accept(&mut table, key(n), 7), Verdict::Welcome);
    }
}

#[test]
fn this_nodes_own_key_is_refused() {
    let verdict = accept(&mut Table::new(SMALL), SMALL, 7);
    assert!(matches!(verdict, Verdict::Refused(e) if e.message.contains("same key")));
}
