//! A server as a process: started, measured from outside, and ended.

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What the kernel counts in (`USER_HZ`), the same for every program on Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a process may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; what it says goes to the file `output`.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(output).with_context(|| format!("making {}", output.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name, output: output.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the last of what it said, when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let said = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(10).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        bail!("{} ended: {status}\n{}", self.name, last.join("\n"))
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(pid, Signal::TERM).context("sending SIGTERM")?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < STOP_TIMEOUT, "{} does not stop", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills it on the spot.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")).context("VmRSS")?;
        Ok(number.trim().parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Addresses on loopback with ports that are free now, for servers that want to be told theirs.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    // All are held until all are found, so that no two are the same.
    let listeners: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("finding a free port")?;
    let addresses: Vec<SocketAddr> =
        listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    addresses.try_into().map_err(|_| anyhow!("ports were lost"))
}

/// Time that a process has spent on processors.
pub(crate) struct Cpu;

impl Cpu {
    pub(crate) fn own() -> Result<Duration> {
        one_cpu_of(std::process::id())
    }
}

/// Time that the processes `ids` have spent on processors, their own and the kernel's for them.
pub(crate) fn cpu_of(ids: &[u32]) -> Result<Duration> {
    ids.iter().map(|id| one_cpu_of(*id)).sum()
}

fn one_cpu_of(id: u32) -> Result<Duration> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("fields of a process")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>().context("ticks of a process")?;
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_that_ended_is_named_with_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo first; echo last words; exit 3"]);
        let mut process = Process::start(&mut shell, &dir.path().join("output")).unwrap();
        process.child.wait().unwrap();
        let error = process.check().unwrap_err().to_string();
        assert!(error.contains("last words") && error.contains('3'), "{error}");
    }

    #[test]
    fn own_numbers_can_be_read() {
        let mut sleep = Command::new("sleep");
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(sleep.arg("60"), &dir.path().join("output")).unwrap();
        assert!(process.resident_bytes().unwrap() > 0);
        assert!(Cpu::own().unwrap() < Duration::from_secs(3_600));
        process.stop().unwrap();
    }
}
