//! A node's disk: bytes by name. What a step changes is encoded into it, what the next step sees
//! is decoded from it, so every step is also a restart.

use quorate_ceremony::{Change, Changes, SecretKind, Standing, Subject, VersionState};
use quorate_crypto::SecretScalar;
use quorate_types::{Format, KeyName, KeyVersion, order::order_hash};
use std::collections::BTreeMap;

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk(BTreeMap<String, Vec<u8>>);

impl Disk {
    pub(crate) fn load(&self, s: &Subject) -> VersionState {
        let of = |what: &str| format!("{what} {} {}", s.key, s.version);
        let standing: Standing = self.format(&of("standing")).unwrap_or_default();
        let number = if s.number == 0 { standing.highest_active().unwrap_or(0) } else { s.number };
        let attempt = self.0.get(&numbered("attempt", &s.key, s.version, number));
        let attempt = attempt.map(|b| quorate_ceremony::Attempt::from_bytes(b).unwrap());
        let order_of = |hash: &str| Format::from_bytes(&self.0[&format!("order {hash}")]).unwrap();
        let head = |what: &str| self.0.get(&format!("{what} {}", s.key));
        let order_at = |what: &str| head(what).map(|h| order_of(std::str::from_utf8(h).unwrap()));
        let mut state = VersionState {
            head: order_at("head"),
            rotation: order_at("rotation"),
            frozen: self.format(&format!("frozen {}", s.key)),
            share_in_force: standing.in_force.and_then(|e| self.share(s, e.number)),
            bundle: self.0.get(&numbered("bundle", &s.key, s.version, s.number)).cloned(),
            standing,
            record: self.format(&of("record")),
            newest: self.format(&of("newest")),
            order: attempt.as_ref().map(|a| order_of(&a.prepared().order.to_string())),
            attempt,
            ..VersionState::default()
        };
        for kind in SecretKind::ALL {
            if let Some(bytes) = self.secret(s, kind) {
                state.secrets.set(kind, bytes).unwrap();
                assert_eq!(&state.secrets.get(kind).unwrap()[..], bytes);
            }
        }
        state
    }

    pub(crate) fn share(&self, s: &Subject, number: u64) -> Option<SecretScalar> {
        let subject = Subject { number, ..s.clone() };
        let bytes = self.secret(&subject, SecretKind::Share)?;
        SecretScalar::from_bytes(bytes.try_into().unwrap())
    }

    pub(crate) fn secret(&self, s: &Subject, kind: SecretKind) -> Option<&[u8]> {
        let name = numbered(&format!("secret {kind:?}"), &s.key, s.version, s.number);
        self.0.get(&name).map(Vec::as_slice)
    }

    pub(crate) fn secrets(&self) -> usize {
        self.0.keys().filter(|k| k.starts_with("secret")).count()
    }

    fn format<F: Format>(&self, name: &str) -> Option<F> {
        self.0.get(name).map(|b| F::from_bytes(b).unwrap())
    }

    pub(crate) fn apply(&mut self, changes: &Changes) {
        for change in &changes.list {
            self.change(&changes.key, changes.version, change);
        }
    }

    fn change(&mut self, key: &KeyName, version: KeyVersion, change: &Change) {
        let of = |what: &str, number: u64| numbered(what, key, version, number);
        match change {
            Change::Head(order) => {
                let body = &order.signed().0.body;
                assert_eq!(order_hash(&order.order().fingerprint, body), order.hash());
                let hash = order.hash().to_string();
                self.0.insert(format!("order {hash}"), order.signed().to_bytes());
                let head = if order.rotation().is_some() { "rotation" } else { "head" };
                self.0.insert(format!("{head} {key}"), hash.into_bytes());
            }
            Change::Attempt(n, attempt) => {
                self.0.insert(of("attempt", *n), attempt.to_bytes());
            }
            Change::Bundle(n, bytes) => {
                self.0.insert(of("bundle", *n), bytes.clone());
            }
            Change::Seal(n, kind, secret) => {
                self.0.insert(of(&format!("secret {kind:?}"), *n), secret.to_vec());
            }
            Change::Drop(n, kind) => {
                self.0.remove(&of(&format!("secret {kind:?}"), *n));
            }
            Change::Standing(standing) => {
                self.0.insert(format!("standing {key} {version}"), standing.to_bytes());
            }
            Change::Record(record) => {
                self.0.insert(format!("record {key} {version}"), record.to_bytes());
            }
            Change::Newest(record) => {
                self.0.insert(format!("newest {key} {version}"), record.to_bytes());
            }
            Change::Freeze(frozen) => {
                self.0.insert(format!("frozen {key}"), frozen.to_bytes());
            }
            Change::Erase(n) => {
                for kind in SecretKind::ALL {
                    self.0.remove(&of(&format!("secret {kind:?}"), *n));
                }
                self.0.remove(&of("bundle", *n));
            }
            Change::Forget(n) => {
                self.change(key, version, &Change::Erase(*n));
                self.0.remove(&of("attempt", *n));
            }
        }
    }
}

fn numbered(what: &str, key: &KeyName, version: KeyVersion, number: u64) -> String {
    format!("{what} {key} {version} {number}")
}
