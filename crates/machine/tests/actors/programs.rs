//! Programs that are actors, beside contracts.

use crate::{
    account::account,
    bank::{Bank, PROGRAM, stage},
    common::{founder, key, output},
    guests,
};
use althing_machine::Fault;
use althing_protocol::{Hash, Kind, actor, sys, v1};
use althing_sandbox::Deadline;

fn contract() -> Vec<u8> {
    guests::component(&guests::module("", "unreachable"))
}

#[test]
fn are_not_called_directly() {
    let mut bank = Bank::new(&["a"]);
    let call = v1::Instruction::new(PROGRAM, "handle", b"{}".to_vec());
    let error = bank.fails(call.clone());
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("althing actor send"), "{error}");
    let session = bank.world.open(&founder());
    let envelope = bank.world.envelope(&founder(), session, 1, vec![call]);
    assert_eq!(bank.world.admit(&envelope).unwrap_err(), error, "the door says the same");
    let deadline = Deadline::after_ms(60_000);
    let (view, author) = (bank.world.view(), key(1).public());
    let asked = bank.world.machine.query(view, author, PROGRAM, "state", b"", deadline);
    let Err(Fault::Outcome(asked)) = asked else { panic!("wants an outcome") };
    assert_eq!(asked, error);
}

#[test]
fn keep_their_kind() {
    let mut bank = Bank::new(&["a"]);
    let check = |bank: &mut Bank, program: &str, component: &[u8], words: &str| {
        let image = bank.world.upload(component);
        let error = bank.fails(stage(program, image, "2"));
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains(words), "{error}");
    };
    check(
        &mut bank,
        PROGRAM,
        &contract(),
        "is an actor, and the image is a contract; choose another",
    );
    bank.deploy("plain", &contract(), "1");
    check(
        &mut bank,
        "plain",
        &account(),
        "is a contract, and the image is an actor; choose another",
    );
    for id in ["sys", "actor"] {
        check(&mut bank, id, &account(), "is part of the binary");
    }
    let error = bank.fails(actor::spawn("b", "plain"));
    assert!(error.message.contains("is a contract"), "{error}");
    let program = bank.world.machine.program(&bank.world.view(), PROGRAM).unwrap().unwrap();
    assert_eq!(program.active.unwrap().kind(), v1::image_info::Kind::Actor);
}

#[test]
fn stay_as_long_as_they_have_actors() {
    let mut bank = Bank::new(&["a"]);
    output(&bank.one(sys::disable(PROGRAM)));
    let error = bank.fails(sys::remove(PROGRAM));
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.message.contains("has 1 actors"), "{error}");
    output(&bank.one(actor::stop("a")));
    output(&bank.one(actor::remove("a")));
    output(&bank.one(sys::remove(PROGRAM)));
    assert!(bank.world.machine.programs(&bank.world.view()).unwrap().is_empty());
}

#[test]
fn images_of_an_upgrade_are_in_use() {
    let mut bank = Bank::new(&["a"]);
    let mut next = account();
    next.extend([0, 3, 1, b'v', 2]);
    let image = bank.deploy(PROGRAM, &next, "2");
    assert_ne!(image, bank.image);
    let in_use = |bank: &Bank, image: Hash| {
        let images = bank.world.machine.images_in_use(&bank.world.view()).unwrap();
        images.contains(&image.0.to_vec())
    };
    let upgrade = bank.world.machine.actor_program(&bank.world.view(), PROGRAM).unwrap().upgrade;
    assert!(upgrade.is_some());
    assert!(in_use(&bank, image) && in_use(&bank, bank.image));
    bank.settle();
    assert!(in_use(&bank, image) && in_use(&bank, bank.image));
}
