//! Counters for Prometheus. Labels are bounded: outcomes and the roster's nodes.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use quorate_rpc::{Fault, v1::EvaluateResponse, v1::node_answer::Outcome as Answered};
use std::time::Duration;

/// How a request ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Ended {
    Answered,
    Refused,
    Short,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Ended,
}

/// One node of the roster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByNode {
    node: u32,
}

/// All metrics of a coordinator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByOutcome, Counter>,
    latency: Histogram,
    reachable: Family<ByNode, Gauge>,
    alarms: Family<ByNode, Gauge>,
    ceremonies: Family<ByOutcome, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("quorate_coordinator");
        let requests = Family::<ByOutcome, Counter>::default();
        let latency = Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        let reachable = Family::<ByNode, Gauge>::default();
        let alarms = Family::<ByNode, Gauge>::default();
        let ceremonies = Family::<ByOutcome, Counter>::default();
        registry.register("requests", "Client requests by outcome", requests.clone());
        registry.register("request_seconds", "Client requests' latency", latency.clone());
        registry.register("node_reachable", "1 if the node answered last", reachable.clone());
        registry.register(
            "node_alarm",
            "1 if the node's identity has two histories: rolled back, or cloned",
            alarms.clone(),
        );
        registry.register("ceremonies", "Ceremonies by outcome", ceremonies.clone());
        Self { registry, requests, latency, reachable, alarms, ceremonies }
    }
}

impl Metrics {
    /// A client's request ended.
    pub(crate) fn evaluated(&self, took: Duration, result: &Result<EvaluateResponse, Fault>) {
        let sealed = |r: &EvaluateResponse| {
            r.answers.iter().any(|a| matches!(a.outcome, Some(Answered::Sealed(_))))
        };
        let outcome = match result {
            Ok(r) if sealed(r) => Ended::Answered,
            Ok(r) if r.answers.is_empty() => Ended::Short,
            Ok(_) => Ended::Refused,
            Err(_) => Ended::Failed,
        };
        self.requests.get_or_create(&ByOutcome { outcome }).inc();
        self.latency.observe(took.as_secs_f64());
    }

    /// A ceremony ended.
    pub(crate) fn ceremony(&self, done: bool) {
        let outcome = if done { Ended::Answered } else { Ended::Failed };
        self.ceremonies.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// What the newest look at a node found.
    pub(crate) fn node(&self, index: u16, reachable: bool, alarm: bool) {
        let node = ByNode { node: u32::from(index) };
        self.alarms.get_or_create(&node).set(i64::from(alarm));
        self.reachable.get_or_create(&node).set(i64::from(reachable));
    }

    /// Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
