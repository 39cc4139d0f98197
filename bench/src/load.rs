//! Clients in a closed loop: each does its next request when it has the answer to the last.

use crate::process::{Cpu, cpu_of};
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What one client does, over and over.
pub(crate) trait Client: Send + 'static {
    /// The next request.
    fn next(&mut self) -> impl Future<Output = Result<Done>> + Send;
}

/// A request that was answered.
pub(crate) struct Done {
    /// Writes that it was.
    pub(crate) count: u64,
    /// From sending it to its answer.
    pub(crate) took: Duration,
}

/// When what is answered counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What a load gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Writes answered.
    pub(crate) count: u64,
    pub(crate) wall: Duration,
    /// Of requests, in nanoseconds.
    latency: Histogram<u64>,
    /// Processes that the servers are.
    pub(crate) servers: usize,
    /// Of all servers.
    pub(crate) cpu_server: Duration,
    pub(crate) cpu_clients: Duration,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }

    /// What a write costs the processors: in the servers, and in the clients.
    pub(crate) fn cpu(&self) -> String {
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.count.max(1) as f64;
        let (server, clients) = (each(self.cpu_server), each(self.cpu_clients));
        let servers = if self.servers == 1 { "server" } else { "servers" };
        format!("cpu {server:.0} us {servers}, {clients:.0} us clients")
    }

    /// Writes in a second of one processor that had nothing to do but serve.
    pub(crate) fn per_core(&self) -> f64 {
        // The kernel counts in hundredths: a short load may seem to have cost nothing.
        self.count as f64 / self.cpu_server.as_secs_f64().max(0.01)
    }
}

/// Nanoseconds, three digits, up to ten minutes.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_max(600_000_000_000, 3).context("making a histogram")
}

/// Times each of `rounds`, after a tenth more to warm up.
pub(crate) fn timed(rounds: u64, mut round: impl FnMut() -> Result<()>) -> Result<Histogram<u64>> {
    let mut times = histogram()?;
    for at in 0..rounds + rounds / 10 {
        let begun = Instant::now();
        round()?;
        if at >= rounds / 10 {
            times.saturating_record(begun.elapsed().as_nanos() as u64);
        }
    }
    Ok(times)
}

/// Runs all `clients` at once against the processes `servers`. The first error ends it.
pub(crate) async fn run<C: Client>(
    clients: Vec<C>,
    window: Window,
    servers: &[u32],
) -> Result<Sample> {
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(one(client, begin, end));
    }
    let usage = async {
        tokio::time::sleep_until(begin.into()).await;
        let before = (cpu_of(servers)?, Cpu::own()?);
        tokio::time::sleep_until(end.into()).await;
        let after = (cpu_of(servers)?, Cpu::own()?);
        anyhow::Ok((after.0 - before.0, after.1 - before.1))
    };
    let answers = async {
        let (mut count, mut latency) = (0, histogram()?);
        while let Some(ended) = tasks.join_next().await {
            let (done, took) = ended.context("a client")??;
            count += done;
            latency.add(took).context("adding latencies")?;
        }
        anyhow::Ok((count, latency))
    };
    let ((cpu_server, cpu_clients), (count, latency)) = tokio::try_join!(usage, answers)?;
    ensure!(count > 0, "no request was answered in {:?}", window.measured);
    let servers = servers.len();
    Ok(Sample { count, wall: window.measured, latency, servers, cpu_server, cpu_clients })
}

/// One client. Counts what is answered within the window, however long ago it was sent.
async fn one<C: Client>(
    mut client: C,
    begin: Instant,
    end: Instant,
) -> Result<(u64, Histogram<u64>)> {
    let (mut count, mut latency) = (0, histogram()?);
    loop {
        let done = client.next().await?;
        let now = Instant::now();
        if now >= end {
            return Ok((count, latency));
        }
        if now >= begin {
            count += done.count;
            latency.saturating_record(u64::try_from(done.took.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Fake(Duration);

    impl Client for Fake {
        async fn next(&mut self) -> Result<Done> {
            tokio::time::sleep(self.0).await;
            Ok(Done { count: 2, took: self.0 })
        }
    }

    struct Broken;

    impl Client for Broken {
        async fn next(&mut self) -> Result<Done> {
            anyhow::bail!("no")
        }
    }

    const WINDOW: Window =
        Window { warm_up: Duration::from_millis(20), measured: Duration::from_millis(100) };

    #[tokio::test]
    async fn what_is_answered_in_the_window_counts() {
        let clients = vec![Fake(Duration::from_millis(5)), Fake(Duration::from_millis(5))];
        let sample = run(clients, WINDOW, &[std::process::id()]).await.unwrap();
        // Two clients, two writes each, at most every 5 ms.
        assert!(sample.count >= 4 && sample.count <= 80, "{}", sample.count);
        assert_eq!(sample.quantile(0.5).as_millis(), 5);
    }

    #[tokio::test]
    async fn an_error_ends_the_load() {
        assert!(run(vec![Broken], WINDOW, &[std::process::id()]).await.is_err());
    }
}
