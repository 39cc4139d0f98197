//! What is counted, in the text format of Prometheus. A registry per node, not per process.

use crate::host::Host;
use althing_protocol::{Error, Result};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// From a read out of memory to a write that waits for a slow disk.
const LATENCY_BUCKETS_S: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    /// A name of the registry, `submit` or `unknown`: bounded.
    operation: String,
    /// `ok`, or the kind of the error.
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    operation: String,
}

/// Counts of requests.
pub(crate) struct Metrics {
    requests: Family<Asked, Counter>,
    latency: Family<Of, Histogram, fn() -> Histogram>,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_S)),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
        }
    }

    /// Runs `work`, counted as `operation`.
    pub(crate) async fn observe<T>(
        &self,
        operation: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let result = work.await;
        let of = Of { operation: operation.to_owned() };
        self.latency.get_or_create(&of).observe(started.elapsed().as_secs_f64());
        let kind = result.as_ref().map_or_else(|error| error.kind.name(), |_| "ok");
        self.requests.get_or_create(&Asked { operation: of.operation, result: kind }).inc();
        result
    }
}

/// Everything, as text.
pub(crate) fn render(host: &Host) -> Result<String> {
    let mut registry = Registry::with_prefix("althing");
    let metrics = &host.metrics;
    registry.register("requests", "Requests by operation and result", metrics.requests.clone());
    registry.register(
        "request_seconds",
        "Time from a request's admission to its answer",
        metrics.latency.clone(),
    );
    registry.register("connections", "Connections open", metrics.connections.clone());
    registry.register(
        "connections_refused",
        "Connections closed because there were too many",
        metrics.connections_refused.clone(),
    );
    let (requests, streams) = host.admission.in_use();
    let mut numbers = BTreeMap::from([
        ("requests_in_flight".to_owned(), requests as f64),
        ("streams_open".to_owned(), streams as f64),
    ]);
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("metrics: {error}"));
    let status = serde_json::to_value(host.realm.status()?).map_err(|error| failed(&error))?;
    flatten("realm", &status, &mut numbers);
    for (name, number) in numbers {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(number);
        registry.register(name, "A number of this node, see ARCHITECTURE.md", gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| failed(&error))?;
    Ok(text)
}

/// Every number in `value` under the path of its names; texts have no place here.
fn flatten(path: &str, value: &Value, numbers: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&format!("{path}_{name}"), value, numbers);
            }
        }
        Value::Number(number) => {
            numbers.extend(number.as_f64().map(|number| (path.to_owned(), number)));
        }
        Value::Bool(flag) => {
            numbers.insert(path.to_owned(), f64::from(u8::from(*flag)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_of_a_status_are_named_by_their_path() {
        let mut numbers = BTreeMap::new();
        let status = json!({"index": 7, "name": "home", "log": {"flushes": 2}, "leads": true});
        flatten("realm", &status, &mut numbers);
        let expected = [("realm_index", 7.0), ("realm_leads", 1.0), ("realm_log_flushes", 2.0)];
        let expected = expected.map(|(name, number)| (name.to_owned(), number));
        assert_eq!(numbers, BTreeMap::from(expected));
    }
}
