//! What a node says of itself, so that others can choose it: what it finds out, and what it is told.

use althing_protocol::{Error, Result, check_labels, v1};
use std::{collections::BTreeMap, fs, thread};

/// What the node finds out itself.
const FOUND: [&str; 4] = ["arch", "cores", "memory", "os"];

/// # Errors
/// `invalid`, naming the label.
pub(crate) fn check(told: &BTreeMap<String, String>) -> Result<()> {
    if let Some(name) = FOUND.iter().find(|name| told.contains_key(**name)) {
        return Err(Error::invalid(format!(
            "node.labels: {name} is what the node finds out itself; leave it out, or give the member \
             another one, which counts more"
        )));
    }
    let named = |e: Error| Error::invalid(format!("node.labels: {}", e.message));
    check_labels(&all(told)).map_err(named)
}

/// By name.
pub(crate) fn all(told: &BTreeMap<String, String>) -> Vec<v1::Label> {
    let mut labels = told.clone();
    let mut add = |name: &str, value: String| labels.insert(name.to_owned(), value);
    add("arch", std::env::consts::ARCH.to_owned());
    add("os", std::env::consts::OS.to_owned());
    if let Ok(cores) = thread::available_parallelism() {
        add("cores", cores.to_string());
    }
    if let Some(mib) = memory_mib() {
        add("memory", mib.to_string());
    }
    labels.into_iter().map(|(name, value)| v1::Label { name, value }).collect()
}

/// All of this machine's memory, where the system says it in `/proc`.
fn memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_are_those_of_the_machine_and_those_it_is_told() {
        let told = BTreeMap::from([("gpu".to_owned(), "yes".to_owned())]);
        check(&told).unwrap();
        let all = all(&told);
        let value = |name: &str| all.iter().find(|label| label.name == name).unwrap().value.clone();
        assert_eq!((value("gpu"), value("arch")), ("yes".into(), std::env::consts::ARCH.into()));
        assert!(value("cores").parse::<u64>().unwrap() > 0);
        if cfg!(target_os = "linux") {
            assert!(value("memory").parse::<u64>().unwrap() > 16);
        }
        assert!(all.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_name() {
        for (name, value) in [("os", "plan9"), ("", "x"), ("gpu", &"x".repeat(10_000))] {
            let told = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let error = check(&told).unwrap_err();
            assert!(error.message.starts_with("node.labels: "), "{error}");
        }
    }
}
