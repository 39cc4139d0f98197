//! `cargo xtask test`: everything that must hold before a change is merged.

use crate::{cargo, guests, target_dir};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    ops::AddAssign,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

type Step = fn() -> Result<Tested>;

/// What is done, in this order. A step says how many tests it ran.
const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("purity of the machine", purity),
    ("guests", build_guests),
    ("lints", lints),
    ("tests", tests),
    ("documentation tests", doc_tests),
    ("tests of the guests", guest_tests),
    ("tests of the SDKs", sdk_tests),
    ("licences and advisories", deny),
    ("bench, a glimpse", bench),
];

/// What the deterministic core must not reach, whatever brings it along.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "an async runtime"),
    ("mio", "an async runtime"),
    ("async-std", "an async runtime"),
    ("smol", "an async runtime"),
    ("rand", "chance comes from the log"),
    ("openraft", "the log drives the machine"),
    ("raft-log", "the log drives the machine"),
    ("hyper", "the network"),
    ("tonic", "the network"),
    ("axum", "the network"),
    ("socket2", "the network"),
    ("chrono", "time comes from the log"),
    ("time", "time comes from the log"),
];

/// How tests went.
#[derive(Clone, Copy, Debug, Default)]
struct Tested {
    /// Less than none in a line that takes back what another one counted.
    passed: i64,
    failed: i64,
}

impl AddAssign for Tested {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
    }
}

/// Runs the steps whose names contain `filter`, up to the first that fails.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    let chosen: Vec<_> =
        STEPS.iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part))).collect();
    if chosen.is_empty() {
        let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
        bail!("no step is named like that; there are: {}", names.join(", "));
    }
    let (start, mut sum) = (Instant::now(), Tested::default());
    for (at, (name, step)) in chosen.iter().enumerate() {
        eprintln!("\n== {}/{} {name}", at + 1, chosen.len());
        let begun = Instant::now();
        let done = step();
        let took = shown(begun.elapsed());
        match done {
            Ok(tested) => {
                eprintln!("== {name}: fine, {took}");
                sum += tested;
                if tested.failed == 0 {
                    continue;
                }
            }
            Err(error) => eprintln!("== {name}: FAILED, {took}\n{error:#}"),
        }
        // A step that fails without a test to blame is one failure.
        sum.failed = sum.failed.max(1);
        eprintln!("\n{} in all", shown(start.elapsed()));
        println!("{} passed, {} failed", sum.passed, sum.failed);
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("\n{} in all", shown(start.elapsed()));
    println!("{} passed, 0 failed", sum.passed);
    Ok(ExitCode::SUCCESS)
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

fn format() -> Result<Tested> {
    untested(cargo().args(["fmt", "--all", "--check"]))?;
    untested(in_guests(cargo().args(["fmt", "--all", "--check"])))
}

fn build_guests() -> Result<Tested> {
    guests::build().map(|_| Tested::default())
}

fn lints() -> Result<Tested> {
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets"];
    untested(cargo().args(clippy).args(["--", "-D", "warnings"]))?;
    untested(in_guests(cargo().args(clippy)).args(["--", "-D", "warnings"]))
}

fn tests() -> Result<Tested> {
    if has("nextest") {
        return tested(cargo().args(["nextest", "run", "--locked", "--workspace"]));
    }
    tested(cargo().args(["test", "--locked", "--workspace", "--lib", "--bins", "--tests"]))
}

fn doc_tests() -> Result<Tested> {
    tested(cargo().args(["test", "--locked", "--workspace", "--doc"]))
}

/// The guests are libraries as well: what they do is tested without a node, on this machine. Actors
/// then play their scenarios as the components that they are.
fn guest_tests() -> Result<Tested> {
    let mut sum = tested(in_guests(cargo().args(["test", "--locked", "--workspace"])))?;
    for mut command in guests::other_tests()? {
        sum += tested(&mut command)?;
    }
    build_workspace()?;
    for (scenario, component) in guests::scenarios()? {
        let mut play = Command::new(target_dir().join("debug/althing"));
        untested(play.args(["actor", "test"]).arg(scenario).arg(component))?;
        sum.passed += 1;
    }
    Ok(sum)
}

/// Those in Rust are crates of this workspace; what builds the guests has installed the others' tools.
fn sdk_tests() -> Result<Tested> {
    let sdk = guests::root().join("sdk");
    let mut python = Command::new("python3");
    python.args(["-m", "unittest"]).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut sum = tested(python.current_dir(sdk.join("python")))?;
    let mut node = Command::new("node");
    // Their names, because versions of Node differ in what they take for a test.
    node.arg("--test");
    for entry in fs::read_dir(sdk.join("js/tests"))? {
        node.arg(entry?.path());
    }
    sum += tested(node.current_dir(sdk.join("js")))?;
    Ok(sum)
}

fn deny() -> Result<Tested> {
    if !has("deny") {
        eprintln!("skipped: there is no cargo-deny here");
        return Ok(Tested::default());
    }
    untested(cargo().args(["deny", "--locked", "check"]))
}

/// Every line of the bench once, as small as can be: that it measures, not what.
fn bench() -> Result<Tested> {
    build_workspace()?;
    let mut bench = Command::new(target_dir().join("debug/althing-bench"));
    bench.arg("--guests").arg(guests::root().join("target/guests")).args(["--scale", "0.002"]);
    untested(&mut bench)
}

/// The same selection as the tests have, so that hardly anything is built again.
fn build_workspace() -> Result<Tested> {
    untested(cargo().args(["build", "--locked", "--workspace", "--all-targets"]))
}

/// The tree of the machine's dependencies holds nothing impure. `crates/machine/clippy.toml` does
/// the same for the standard library.
fn purity() -> Result<Tested> {
    let tree = |args: &[&str]| -> Result<String> {
        let mut cargo = cargo();
        cargo.args(["tree", "--locked", "--package", "althing-machine", "--edges", "normal"]);
        let output = cargo.args(args).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{cargo:?}: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let packages = tree(&["--prefix", "none", "--format", "{p}"])?;
    let names = || packages.lines().filter_map(|line| line.split(' ').next());
    ensure!(names().any(|name| name == "althing-state"), "cargo tree shows no dependencies");
    for (name, why) in IMPURE {
        if names().any(|found| found == *name) {
            let path = tree(&["--invert", name])?;
            bail!("the machine depends on {name} ({why}), by this way:\n{path}");
        }
    }
    Ok(Tested { passed: 1, failed: 0 })
}

/// The same for the workspace of the guests, apart from what they are when they are components.
fn in_guests(cargo: &mut Command) -> &mut Command {
    let root = guests::root();
    cargo
        .current_dir(root.join("guests"))
        .env("CARGO_TARGET_DIR", root.join("target/guests/native"))
}

fn has(subcommand: &str) -> bool {
    let mut cargo = cargo();
    cargo.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

fn untested(command: &mut Command) -> Result<Tested> {
    guests::run(command).map(|()| Tested::default())
}

/// Runs a test runner, shows what it says, and takes the counts out of it.
fn tested(command: &mut Command) -> Result<Tested> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || relay(err, |line| eprintln!("{line}")));
    let mut sum = relay(out, |line| println!("{line}"));
    sum += reader.join().unwrap_or_default();
    let status = child.wait().with_context(|| format!("waiting for {shown}"))?;
    if status.success() {
        return Ok(sum);
    }
    eprintln!("{shown}: {status}");
    Ok(Tested { failed: sum.failed.max(1), ..sum })
}

fn relay(from: Option<impl Read>, show: impl Fn(&str)) -> Tested {
    let mut sum = Tested::default();
    for line in from.into_iter().flat_map(|from| BufReader::new(from).split(b'\n')).flatten() {
        let line = String::from_utf8_lossy(&line);
        show(&line);
        sum += counts(&line).unwrap_or_default();
    }
    sum
}

/// The counts in the last lines of a runner: `test result: ok. 3 passed; 0 failed; ...` of cargo
/// test, `Summary [ 1.2s] 3 tests run: 3 passed, 1 failed` of nextest, `Ran 4 tests in 0.1s` and
/// `FAILED (failures=1, errors=1)` of Python, `# pass 3` and `# fail 1` of Node.
fn counts(line: &str) -> Option<Tested> {
    let line = line.trim_start();
    let words: Vec<&str> = line.split([' ', ',', ';', '=', '(', ')']).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let at = |word: &str| words.iter().position(|found| *found == word);
    let number = |at: Option<usize>| at.and_then(|at| words.get(at)?.parse().ok()).unwrap_or(0);
    let before = |word: &str| number(at(word).and_then(|at| at.checked_sub(1)));
    let after = |word: &str| number(at(word).map(|at| at + 1));
    match *words.as_slice() {
        ["test", "result:", ..] | ["Summary", "[", ..] => {
            Some(Tested { passed: before("passed"), failed: before("failed") + before("timed") })
        }
        // How many of them failed stands in a line of its own.
        ["Ran", _, "test" | "tests", "in", _] => {
            Some(Tested { passed: before("tests") + before("test"), failed: 0 })
        }
        ["FAILED", "failures" | "errors", ..] => {
            let failed = after("failures") + after("errors");
            Some(Tested { passed: -failed, failed })
        }
        ["OK", "skipped", ..] => Some(Tested { passed: -after("skipped"), failed: 0 }),
        ["#" | "\u{2139}", "pass", _] => Some(Tested { passed: after("pass"), failed: 0 }),
        ["#" | "\u{2139}", "fail", _] => Some(Tested { passed: 0, failed: after("fail") }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::counts;

    fn check(line: &str, expected: Option<(i64, i64)>) {
        assert_eq!(counts(line).map(|tested| (tested.passed, tested.failed)), expected, "{line}");
    }

    #[test]
    fn every_runner_is_understood() {
        check("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured", Some((12, 0)));
        check("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured", Some((1, 2)));
        check("     Summary [   0.041s] 9 tests run: 9 passed, 0 skipped", Some((9, 0)));
        check("     Summary [   1.5s] 9 tests run: 7 passed, 2 failed, 0 skipped", Some((7, 2)));
        check("Summary [   0.041s] 1 test run: 1 passed, 0 skipped", Some((1, 0)));
        check("Ran 31 tests in 0.848s", Some((31, 0)));
        check("Ran 1 test in 0.000s", Some((1, 0)));
        check("FAILED (failures=1, errors=2)", Some((-3, 3)));
        check("FAILED (errors=1, skipped=2)", Some((-1, 1)));
        check("OK (skipped=2)", Some((-2, 0)));
        check("# pass 18", Some((18, 0)));
        check("# fail 2", Some((0, 2)));
        check("\u{2139} pass 3", Some((3, 0)));
        check("# Subtest: it does pass 3", None);
        check("FAILED tests of the corpus", None);
        check("test a::test_result ... ok", None);
        check("running 3 tests", None);
    }
}
