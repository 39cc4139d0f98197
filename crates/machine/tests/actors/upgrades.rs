//! Another version takes over all actors of a program, or none of them.

use crate::{
    common::{World, failure, founder, output},
    guests::actor::Guest,
    keeper::{
        KEEPER, PROGRAM, activate, another, count, done, due, info, letters, program, queue,
        settle, spawn, state, steps, world,
    },
    relay,
};
use althing_machine::{Due, Fault};
use althing_protocol::{Kind, actor, limits, sys, v1};
use althing_sandbox::Deadline;
use v1::actor_step::Kind as Step;

/// A version whose migration makes every state a list of one.
const MIGRATING: Guest<'_> = Guest { migrate: Some("(call $text '[\"moved\"]')"), ..KEEPER };

/// A version that takes no state of two messages: `[1,2]` and the like.
const PICKY: Guest<'_> = Guest {
    state_contract: "(if (i32.eq (local.get $state_len) (i32.const 5))
      (then (call $log 'two are too many') (return (i32.const 0)))) (i32.const 1)",
    ..KEEPER
};

/// Begins an upgrade to another version.
fn begin(world: &mut World, guest: &Guest<'_>) {
    output(&activate(world, PROGRAM, "2", &another(guest, 2)));
    assert!(program(world).upgrade.is_some());
}

fn version(world: &World) -> String {
    let info = world.machine.program(&world.view(), PROGRAM).unwrap().unwrap();
    info.active.unwrap().manifest.unwrap().version
}

/// Topics of the events that ticks emitted until nothing was due.
fn events(world: &mut World) -> Vec<String> {
    let mut topics = Vec::new();
    while due(world) == Due::Now {
        let outcomes = world.tick().result.outcomes;
        topics.extend(outcomes.into_iter().flat_map(|o| o.events).map(|event| event.topic));
    }
    topics
}

/// A world with some actors, each with a message.
fn with_actors(ids: &[&str]) -> World {
    let mut world = world();
    for id in ids {
        spawn(&mut world, id);
        done(&mut world, actor::send(*id, "1"));
    }
    world
}

#[test]
fn a_program_without_actors_is_switched_at_once() {
    let mut world = world();
    output(&activate(&mut world, PROGRAM, "2", &another(&MIGRATING, 2)));
    assert_eq!((version(&world), due(&world)), ("2".into(), Due::Never));
    // And so is one with another manifest only.
    spawn(&mut world, "a");
    output(&activate(&mut world, PROGRAM, "3", &another(&MIGRATING, 2)));
    assert_eq!(
        (version(&world), due(&world), state(&world, "a")),
        ("3".into(), Due::Never, "[]".into())
    );
}

#[test]
fn without_a_migration_the_states_stay_and_the_history_says_so() {
    let mut world = with_actors(&["a", "b"]);
    begin(&mut world, &KEEPER);
    assert_eq!(version(&world), "1", "until all are migrated");
    assert_eq!(events(&mut world), ["program.activated"]);
    assert_eq!((version(&world), state(&world, "a")), ("2".into(), "[1]".into()));
    let last = steps(&world, "a").pop().unwrap();
    assert_eq!(last.before, last.after);
    let Some(Step::Migrated(from)) = last.kind else { panic!("{last:?}") };
    assert_eq!(from.from_version, "1");
    let of = program(&world);
    assert_eq!((of.generation, of.upgrade, of.swept), (1, None, None));
    let ended = of.last.unwrap();
    assert_eq!((ended.migrated, ended.failure), (2, None));
    assert_eq!((count(&world, "actor.shadow"), queue(&world).upgrading), (0, 0));
    // What runs is the next version.
    done(&mut world, actor::send("a", "2"));
    assert_eq!(steps(&world, "a").pop().unwrap().image, ended.image);
}

#[test]
fn a_migration_makes_the_states_of_the_next_version() {
    let mut world = with_actors(&["a", "b"]);
    begin(&mut world, &MIGRATING);
    settle(&mut world);
    for id in ["a", "b"] {
        assert_eq!(state(&world, id), r#"["moved"]"#);
        let last = steps(&world, id).pop().unwrap();
        assert!(matches!(last.kind, Some(Step::Migrated(_))) && last.fuel > 0, "{last:?}");
    }
    done(&mut world, actor::send("a", "2"));
    assert_eq!(state(&world, "a"), r#"["moved",2]"#);
}

#[test]
fn one_state_that_fails_keeps_all_with_the_version_before() {
    let mut world = with_actors(&["a", "b", "c"]);
    done(&mut world, actor::send("b", "2"));
    begin(&mut world, &PICKY);
    done(&mut world, actor::send("c", "2"));
    assert_eq!(events(&mut world), ["program.upgrade_failed"]);
    assert_eq!(version(&world), "1");
    let of = program(&world);
    let ended = of.last.unwrap();
    assert_eq!((of.generation, ended.actor.as_str(), ended.migrated), (0, "b", 1));
    let failure = ended.failure.unwrap();
    assert!(failure.message.contains("two are too many"), "{}", failure.message);
    assert_eq!((count(&world, "actor.shadow"), queue(&world).upgrading), (0, 0));
    // The old version goes on, with what was sent meanwhile.
    assert_eq!((state(&world, "a"), state(&world, "c")), ("[1]".into(), "[1,2]".into()));
    assert_eq!(steps(&world, "a").len(), 2, "nothing happened to it");
    // It is staged still. What it left is not taken for what the next one makes.
    let info = world.machine.program(&world.view(), PROGRAM).unwrap().unwrap();
    let image = info.staged.unwrap().image;
    assert_eq!(image, ended.image);
    for id in ["b", "c"] {
        done(
            &mut world,
            actor::rollback(&v1::ActorRollback { actor: id.into(), to: 1, state: None }),
        );
    }
    let again = v1::Activate { program: PROGRAM.into(), image };
    output(&world.run(&founder(), sys::activate(&again)));
    settle(&mut world);
    assert_eq!((version(&world), program(&world).generation), ("2".into(), 2));
}

#[test]
fn a_tick_migrates_a_bounded_number_and_one_tick_flips_them_all() {
    let mut world = world();
    let actors = limits::TICK_MIGRATIONS_MAX + 3;
    for chunk in (0..actors).collect::<Vec<_>>().chunks(limits::BATCH_PAYLOADS_MAX) {
        let session = world.open(&founder());
        let spawn = chunk.iter().map(|n| actor::spawn(format!("a/{n:03}"), PROGRAM)).collect();
        let envelope = world.envelope(&founder(), session, 1, spawn);
        world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    }
    begin(&mut world, &MIGRATING);
    world.tick();
    assert_eq!(program(&world).upgrade.unwrap().migrated, limits::TICK_MIGRATIONS_MAX as u64);
    assert_eq!((version(&world), state(&world, "a/000")), ("1".into(), "[]".into()));
    world.tick();
    assert_eq!(version(&world), "2");
    // None of them has taken its state over, and all of them have it.
    assert_eq!(count(&world, "actor.shadow"), actors);
    for id in ["a/000", "a/258"] {
        assert_eq!((state(&world, id), info(&world, id).step), (r#"["moved"]"#.into(), 2));
    }
    // And all that is read of them is as it will be.
    let of = |world: &World| {
        let (machine, view) = (&world.machine, world.view());
        let replay =
            machine.actor_replay(&view, "a/000", 1, None, None, Deadline::after_ms(60_000));
        let listed = |program| machine.actor_list(&view, program, "a/000", None, 1).unwrap().items;
        let then = machine.actor_state(&view, "a/000", Some(2)).unwrap();
        (
            info(world, "a/000"),
            steps(world, "a/000"),
            replay.unwrap(),
            [listed(None), listed(Some(PROGRAM))],
            then,
        )
    };
    let before = of(&world);
    assert_eq!((before.2.steps, &before.2.difference), (2, &None));
    // Whatever happens to one is done to what it has now.
    done(&mut world, actor::request("a/258", "2"));
    assert_eq!(state(&world, "a/258"), r#"["moved",2]"#);
    assert_eq!(steps(&world, "a/258").len(), 3);
    world.tick();
    assert_eq!(count(&world, "actor.shadow"), 2);
    settle(&mut world);
    assert_eq!((count(&world, "actor.shadow"), steps(&world, "a/000").len()), (0, 2));
    assert_eq!(of(&world), before);
    assert_eq!(steps(&world, "a/258").len(), 3, "the sweep leaves it as it is");
}

/// An upgrade of many actors does not hold up those of other programs.
#[test]
fn programs_take_turns() {
    let mut world = with_actors(&[]);
    let actors = 3 * limits::TICK_MIGRATIONS_MAX;
    for chunk in (0..actors).collect::<Vec<_>>().chunks(limits::BATCH_PAYLOADS_MAX) {
        let session = world.open(&founder());
        let spawn = chunk.iter().map(|n| actor::spawn(format!("a/{n:03}"), PROGRAM)).collect();
        let envelope = world.envelope(&founder(), session, 1, spawn);
        world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    }
    output(&activate(&mut world, "zzz", "1", &another(&KEEPER, 9)));
    done(&mut world, actor::spawn("z", "zzz"));
    begin(&mut world, &KEEPER);
    output(&activate(&mut world, "zzz", "2", &another(&KEEPER, 8)));
    world.tick();
    assert_eq!(program(&world).upgrade.unwrap().migrated, limits::TICK_MIGRATIONS_MAX as u64);
    world.tick();
    let of = world.machine.actor_program(&world.view(), "zzz").unwrap();
    assert_eq!((of.generation, of.upgrade), (1, None));
    assert!(program(&world).upgrade.is_some());
    settle(&mut world);
    assert_eq!(program(&world).last.unwrap().migrated, actors as u64);
}

#[test]
fn those_that_are_stopped_are_not_counted_as_migrated() {
    let mut world = with_actors(&["a", "b", "c"]);
    done(&mut world, actor::stop("b"));
    begin(&mut world, &MIGRATING);
    settle(&mut world);
    assert_eq!((program(&world).last.unwrap().migrated, program(&world).actors), (2, 3));
    assert_eq!((state(&world, "b"), steps(&world, "b").len()), ("[1]".into(), 2));
}

#[test]
fn the_active_version_describes_messages_and_states() {
    let schemas = r#"(call $text '{"state": {}, "message": true}')"#;
    let mut world = with_actors(&["a"]);
    let described = |world: &World, program: &str| {
        let deadline = Deadline::after_ms(60_000);
        match world.machine.actor_describe(&world.view(), program, deadline) {
            Ok(described) => Ok(described.map(|text| String::from_utf8(text).unwrap())),
            Err(Fault::Outcome(error)) => Err(error.kind),
            Err(Fault::Halt(halt)) => panic!("{halt}"),
        }
    };
    assert_eq!(described(&world, PROGRAM), Ok(None));
    begin(&mut world, &Guest { describe: Some(schemas), ..KEEPER });
    assert_eq!(described(&world, PROGRAM), Ok(None), "it is not active yet");
    settle(&mut world);
    done(&mut world, sys::disable(PROGRAM));
    assert_eq!(described(&world, PROGRAM), Ok(Some(r#"{"message":true,"state":{}}"#.into())));
    assert_eq!(described(&world, "nothing"), Err(Kind::NotFound));
    output(&activate(&mut world, "relay", "1", &relay::relay()));
    assert_eq!(described(&world, "relay"), Err(Kind::Invalid));
    output(&activate(
        &mut world,
        "trap",
        "1",
        &Guest { describe: Some("unreachable"), ..KEEPER }.component(),
    ));
    assert_eq!(described(&world, "trap"), Err(Kind::GuestFailed));
}

#[test]
fn while_it_goes_on_mail_waits_and_nothing_else_happens() {
    let mut world = with_actors(&["a", "b"]);
    done(&mut world, actor::stop("b"));
    begin(&mut world, &MIGRATING);
    for n in 2..5 {
        done(&mut world, actor::send("a", n.to_string()));
    }
    assert_eq!(info(&world, "a").waiting, 3);
    let back = v1::ActorRollback { actor: "a".into(), to: 1, state: None };
    for instruction in [
        actor::request("a", "9"),
        actor::spawn("c", PROGRAM),
        actor::stop("a"),
        actor::rollback(&back),
        actor::remove("b"),
    ] {
        let method = instruction.method.clone();
        let error = failure(&world.run(&founder(), instruction));
        assert_eq!(error.kind, Kind::Conflict, "{method}: {error}");
        assert!(error.message.contains("being upgraded"), "{method}: {error}");
    }
    settle(&mut world);
    assert_eq!((state(&world, "a"), info(&world, "a").waiting), (r#"["moved",2,3,4]"#.into(), 0));
    assert!(letters(&world).is_empty(), "{:?}", letters(&world));
    assert_eq!(state(&world, "b"), "[1]", "it had stopped");
    // A second change waits for the end of the first one, sweep and all.
    begin(&mut world, &KEEPER);
    let refused = |world: &mut World| {
        let outcome = activate(world, PROGRAM, "4", &another(&KEEPER, 4));
        let error = failure(&outcome);
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        let back = v1::Rollback { program: PROGRAM.into(), image: None };
        assert_eq!(failure(&world.run(&founder(), sys::rollback(&back))).kind, Kind::Conflict);
    };
    refused(&mut world);
    world.tick();
    assert!(program(&world).swept.is_some());
    refused(&mut world);
    settle(&mut world);
    output(&activate(&mut world, PROGRAM, "4", &another(&KEEPER, 4)));
}

#[test]
fn a_rollback_asks_the_version_that_returns() {
    let mut world = World::new();
    output(&activate(&mut world, PROGRAM, "1", &MIGRATING.component()));
    spawn(&mut world, "a");
    begin(&mut world, &KEEPER);
    settle(&mut world);
    done(&mut world, actor::send("a", "7"));
    assert_eq!(state(&world, "a"), "[7]");
    done(&mut world, sys::rollback(&v1::Rollback { program: PROGRAM.into(), image: None }));
    assert_eq!(version(&world), "2");
    assert_eq!(events(&mut world), ["program.rolled_back"]);
    assert_eq!((version(&world), state(&world, "a")), ("1".into(), r#"["moved"]"#.into()));
    let Some(Step::Migrated(from)) = steps(&world, "a").pop().unwrap().kind else { panic!() };
    assert_eq!(from.from_version, "2");
}

#[test]
fn mail_of_a_disabled_program_waits_and_nothing_is_due() {
    let mut world = with_actors(&["a"]);
    done(&mut world, sys::disable(PROGRAM));
    done(&mut world, actor::send("a", "2"));
    settle(&mut world);
    assert_eq!((info(&world, "a").waiting, state(&world, "a")), (1, "[1]".into()));
    assert_eq!(due(&world), Due::Never);
    // It can be mended meanwhile.
    begin(&mut world, &MIGRATING);
    settle(&mut world);
    assert_eq!((version(&world), info(&world, "a").waiting), ("2".into(), 1));
    done(&mut world, sys::enable(PROGRAM));
    settle(&mut world);
    assert_eq!((state(&world, "a"), due(&world)), (r#"["moved",2]"#.into(), Due::Never));
}

#[test]
fn a_program_is_removed_when_its_actors_are() {
    let mut world = with_actors(&["a"]);
    done(&mut world, sys::disable(PROGRAM));
    let error = failure(&world.run(&founder(), sys::remove(PROGRAM)));
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert!(error.message.contains("1 actors"), "{error}");
    done(&mut world, actor::stop("a"));
    // What is looked after behind `enable` is looked after no more.
    done(&mut world, sys::enable(PROGRAM));
    done(&mut world, sys::disable(PROGRAM));
    done(&mut world, actor::remove("a"));
    done(&mut world, sys::remove(PROGRAM));
    assert_eq!((due(&world), count(&world, "actor.program")), (Due::Never, 0));
}

#[test]
fn the_images_of_an_upgrade_are_in_use() {
    let mut world = with_actors(&["a"]);
    let old = world.upload(&KEEPER.component());
    begin(&mut world, &KEEPER);
    // Another one is staged in its place.
    let next = world.upload(&another(&KEEPER, 2));
    let stage = v1::Stage {
        program: PROGRAM.into(),
        image: world.upload(&another(&KEEPER, 3)).0.to_vec(),
        manifest: Some(v1::Manifest::default()),
        signature: None,
    };
    done(&mut world, sys::stage(&stage));
    let view = world.view();
    let in_use = world.machine.images_in_use(&view).unwrap();
    let to_run = world.machine.images_to_run(&view).unwrap();
    for image in [old, next] {
        assert!(in_use.contains(&image.0.to_vec()) && to_run.contains(&image.0.to_vec()));
    }
    assert!(in_use.contains(&stage.image) && !to_run.contains(&stage.image));
}

#[test]
fn an_image_of_another_kind_takes_over_nothing() {
    let mut world = with_actors(&["a"]);
    let stage = v1::Stage {
        program: PROGRAM.into(),
        image: world.upload(&relay::relay()).0.to_vec(),
        manifest: Some(v1::Manifest::default()),
        signature: None,
    };
    let error = failure(&world.run(&founder(), sys::stage(&stage)));
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    // Two of them staged before either was active: the first that is activated decides.
    let staged = v1::Stage { program: "p".into(), ..stage };
    done(&mut world, sys::stage(&staged));
    done(&mut world, sys::activate(&v1::Activate { program: "p".into(), image: staged.image }));
    let image = world.upload(&KEEPER.component()).0.to_vec();
    let manifest = Some(v1::Manifest::default());
    let other = v1::Stage { program: "p".into(), image, manifest, signature: None };
    assert_eq!(failure(&world.run(&founder(), sys::stage(&other))).kind, Kind::Invalid);
}

#[test]
fn ticks_without_anything_due_change_nothing() {
    let mut world = with_actors(&["a"]);
    begin(&mut world, &MIGRATING);
    settle(&mut world);
    for _ in 0..2 {
        let applied = world.tick();
        assert!(applied.writes.is_empty() && applied.result.outcomes.is_empty());
    }
}
