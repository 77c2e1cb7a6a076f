//! What a node counts. All labels are constant words: nobody outside can make a new series.

use crate::quarantine::Standing;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use quorate_types::Split;
use std::time::Duration;

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    operation: &'static str,
}

/// Why a node is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Two histories under one identity: this node's own, or a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Alarm {
    of: &'static str,
    kind: &'static str,
}

/// Values read at the moment of asking.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    pub(crate) keys: u64,
    pub(crate) replay_entries: u64,
    pub(crate) audit_entries: u64,
    pub(crate) disk_free: u64,
    pub(crate) disk_floor: u64,
    pub(crate) connections: u64,
    pub(crate) refused_connections: u64,
    pub(crate) failed_handshakes: u64,
    pub(crate) shed: u64,
    pub(crate) serving: bool,
    pub(crate) quarantine: Standing,
}

/// All counters of one node.
pub(crate) struct Metrics {
    registry: Registry,
    ended: Family<Ended, Counter>,
    seconds: Family<Of, Histogram>,
    pub(crate) in_flight: Gauge,
    quarantine: Family<Reason, Gauge>,
    alarms: Family<Alarm, Counter>,
    levels: [Gauge; 10],
}

const LEVELS: [(&str, &str); 10] = [
    ("keys", "Key versions of which this node holds an active share"),
    ("replay_entries", "Request ids remembered against replay"),
    ("audit_entries", "Entries of the audit log"),
    ("disk_free_bytes", "Free on the store's disk"),
    ("disk_floor_bytes", "Below this the store refuses every write"),
    ("connections", "Open connections"),
    ("connections_refused", "Connections refused by a limit since the start"),
    ("handshakes_failed", "TLS handshakes that failed since the start"),
    ("requests_shed", "Calls refused because their class was full since the start"),
    ("serving", "1 while the node answers requests"),
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("quorate_node");
        let ended = Family::<Ended, Counter>::default();
        let seconds = Family::<Of, Histogram>::new_with_constructor(|| {
            // 100 µs to 1.6 s: a single decryption takes some 500 µs, a large batch 200 ms.
            Histogram::new((0..15).map(|i| 0.0001 * f64::from(1 << i)))
        });
        let in_flight = Gauge::default();
        registry.register("calls", "Calls by operation and outcome", ended.clone());
        registry.register_with_unit(
            "call_duration",
            "Time from the arrival of a call to its answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("in_flight", "Uses of keys under way", in_flight.clone());
        let quarantine = Family::<Reason, Gauge>::default();
        registry.register(
            "quarantine",
            "1 while the node is in quarantine for this reason",
            quarantine.clone(),
        );
        let alarms = Family::<Alarm, Counter>::default();
        registry.register(
            "alarms",
            "Identities found with two histories: disk images put back, processes cloned",
            alarms.clone(),
        );
        let levels = std::array::from_fn(|_| Gauge::default());
        for ((name, help), gauge) in LEVELS.iter().zip(&levels) {
            registry.register(*name, *help, gauge.clone());
        }
        Self { registry, ended, seconds, in_flight, quarantine, alarms, levels }
    }

    pub(crate) fn count(&self, operation: &'static str, outcome: &'static str) {
        self.ended.get_or_create(&Ended { operation, outcome }).inc();
    }

    pub(crate) fn alarm(&self, split: Split, own: bool) {
        let of = if own { "own" } else { "peer" };
        self.alarms.get_or_create(&Alarm { of, kind: split.word() }).inc();
    }

    pub(crate) fn time(&self, operation: &'static str, took: Duration) {
        self.seconds.get_or_create(&Of { operation }).observe(took.as_secs_f64());
    }

    /// Prometheus text.
    pub(crate) fn text(&self, now: &Levels) -> String {
        let values = [
            now.keys,
            now.replay_entries,
            now.audit_entries,
            now.disk_free,
            now.disk_floor,
            now.connections,
            now.refused_connections,
            now.failed_handshakes,
            now.shed,
            u64::from(now.serving),
        ];
        for (gauge, value) in self.levels.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let reason = match &now.quarantine {
            Standing::Free => None,
            Standing::Waiting { .. } => Some("waiting"),
            Standing::Behind(behind) => Some(behind.split().word()),
        };
        let splits = [Split::OldImage, Split::TwoProcesses].map(Split::word);
        for one in splits.into_iter().chain(["waiting"]) {
            let level = i64::from(reason == Some(one));
            self.quarantine.get_or_create(&Reason { reason: one }).set(level);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_calls_and_levels() {
        let metrics = Metrics::new();
        metrics.count("decrypt", "granted");
        metrics.time("decrypt", Duration::from_micros(500));
        metrics.alarm(Split::TwoProcesses, false);
        let text = metrics.text(&Levels {
            keys: 7,
            replay_entries: 0,
            audit_entries: 0,
            disk_free: 0,
            disk_floor: 0,
            connections: 0,
            refused_connections: 0,
            failed_handshakes: 0,
            shed: 0,
            serving: true,
            quarantine: Standing::Waiting { told: 0, needed: 1 },
        });
        for line in [
            "quorate_node_calls_total{operation=\"decrypt\",outcome=\"granted\"} 1",
            "quorate_node_call_duration_seconds_count{operation=\"decrypt\"} 1",
            "quorate_node_keys 7",
            "quorate_node_serving 1",
            "quorate_node_quarantine{reason=\"waiting\"} 1",
            "quorate_node_quarantine{reason=\"rolled_back\"} 0",
            "quorate_node_alarms_total{of=\"peer\",kind=\"cloned\"} 1",
        ] {
            assert!(text.contains(line), "{line} not in:\n{text}");
        }
    }
}
