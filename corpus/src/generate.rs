//! Logs that nobody wrote: many instructions, by chance that is always the same.

use crate::{Corpus, Log, LogBuilder, Step, guests::Guest, key};
use althing_protocol::{sys, v1};
use anyhow::Result;

/// Guests that the log calls: programs of one image that call each other.
const PROGRAMS: [&str; 3] = ["alpha", "beta", "gamma"];
const AUTHORS: [&str; 4] = ["founder", "founder", "alice", "bob"];

/// A log of `instructions` or a few more, of `sys` and of contracts, in batches of up to 32. Equal
/// seeds give equal logs.
///
/// # Errors
/// When the guest is missing.
pub fn generate(corpus: &Corpus, seed: u64, instructions: usize) -> Result<Log> {
    let mut log = LogBuilder::new(&format!("generated {seed}"));
    let (image, component) = Guest::Text("ops.wat".into()).load(corpus)?;
    log.image(image, component);
    let image = image.0.to_vec();
    // Small enough for a trap, which costs all of it, to cost little time.
    let manifest = Some(v1::Manifest { fuel_max: 2_000_000, ..v1::Manifest::default() });
    let subject = |name: &str| format!("key:{}", key(name).public());
    let mut first = vec![
        sys::grant(&everything(&subject("alice"))),
        // He may do little, until the log gives him more.
        sys::grant(&v1::Grant { program: "gamma".into(), ..everything(&subject("bob")) }),
    ];
    for program in PROGRAMS {
        let (program, image) = (program.to_owned(), image.clone());
        first.push(sys::grant(&everything(&format!("program:{program}"))));
        first.push(sys::stage(&v1::Stage {
            program: program.clone(),
            image: image.clone(),
            manifest: manifest.clone(),
            ..v1::Stage::default()
        }));
        first.push(sys::activate(&v1::Activate { program, image }));
    }
    let envelope = log.envelope("founder", "", None, first);
    log.submit(envelope);

    let mut chance = Chance::new(seed);
    let mut made = 0;
    while made < instructions {
        let batch: Vec<_> = (0..=chance.below(31)).map(|_| instruction(&mut chance)).collect();
        made += batch.len();
        let (author, session) = (*chance.of(&AUTHORS), *chance.of(&["", "second"]));
        let envelope = log.envelope(author, session, None, batch);
        log.submit(envelope.clone());
        match chance.below(20) {
            0 => log.submit(envelope),
            1 => log.tick(),
            2 => log.push(Step::Query {
                caller: key(author).public(),
                program: (*chance.of(&PROGRAMS)).into(),
                method: "run".into(),
                args: words(&mut chance, false).into_bytes(),
            }),
            _ => {}
        }
    }
    Ok(log.finish())
}

fn everything(subject: &str) -> v1::Grant {
    let (subject, all) = (subject.to_owned(), "*".to_owned());
    v1::Grant { subject, program: all.clone(), method: all, ..v1::Grant::default() }
}

fn instruction(chance: &mut Chance) -> v1::Instruction {
    match chance.below(12) {
        0 => sys::put(path(chance), text(chance)),
        1 => sys::delete(path(chance)),
        2 => sys::compare_and_swap(&v1::CompareAndSwap {
            key: path(chance).into_bytes(),
            expected: Some(match chance.below(3) {
                0 => v1::compare_and_swap::Expected::Absent(true),
                1 => v1::compare_and_swap::Expected::Modify(chance.below(200)),
                _ => v1::compare_and_swap::Expected::Value(text(chance).into_bytes()),
            }),
            new_value: text(chance).into_bytes(),
        }),
        3 => sys::grant(&v1::Grant {
            subject: format!("key:{}", key("bob").public()),
            program: (*chance.of(&["sys", "alpha", "beta"])).into(),
            method: (*chance.of(&["put", "run", "delete"])).into(),
            prefix: path(chance).into_bytes(),
            exclusive: false,
            expires_us: 0,
        }),
        4 => sys::revoke(20 + chance.below(60)),
        _ => {
            let args = words(chance, true).into_bytes();
            v1::Instruction::new(*chance.of(&PROGRAMS), "run", args)
        }
    }
}

fn path(chance: &mut Chance) -> String {
    format!("/{}/{}", chance.of(&["a", "b", "c"]), chance.below(12))
}

fn text(chance: &mut Chance) -> String {
    chance.of(&["x", "yy", "zzz"]).repeat(1 + chance.below(40) as usize)
}

/// Words for the guest `ops.wat`.
fn words(chance: &mut Chance, may_nest: bool) -> String {
    let count = 1 + chance.below(8);
    let words: Vec<String> = (0..count).map(|_| word(chance, may_nest)).collect();
    words.join(" ")
}

fn word(chance: &mut Chance, may_nest: bool) -> String {
    let key = format!("{}{}", chance.of(&["k", "kk", "m"]), chance.below(30));
    let few = chance.below(6);
    match chance.below(if may_nest { 22 } else { 18 }) {
        0..=4 => format!("p{key}={}", text(chance)),
        5 | 6 => format!("g{key}"),
        7 => format!("d{key}"),
        8 => format!("sk={few}"),
        9 => format!("r={few}"),
        10 => format!("a{key}={few}"),
        11 => format!("b{key}={few}"),
        12 => format!("xm={few}"),
        13 => format!("e{}={}", chance.of(&["made", "sold", ""]), text(chance)),
        14 => format!("f{}", chance.below(300)),
        15 => format!("{}{}", chance.of(&["h", "v", "l"]), text(chance)),
        16 => format!("w{}", chance.below(2_000)),
        17 => (*chance.of(&["c", "c", "c", "m3", "t", "!"])).into(),
        18 | 19 => {
            let inner = words(chance, false).replace(' ', ",").replace('=', ":");
            format!("{}{}={inner}", chance.of(&["o", "q"]), chance.of(&PROGRAMS))
        }
        // The called one calls on: into itself, or back into the first.
        _ => {
            let inner = format!("o{}:c", chance.of(&PROGRAMS));
            format!("o{}={inner}", chance.of(&PROGRAMS))
        }
    }
}

/// Numbers that look like chance: the output of a hash.
struct Chance(blake3::OutputReader);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("althing corpus chance");
        Self(hasher.update(&seed.to_le_bytes()).finalize_xof())
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
