//! Rights of a key, as `quorate key show` prints them.

use crate::render;
use quorate_client::Key;
use quorate_types::Rights;
use serde_json::{Value, json};

/// The rights of the last one of these versions (ascending), and since which order it has them.
pub(super) fn shown(versions: &[Key]) -> (Vec<String>, Value) {
    let mut lines = Vec::new();
    let exportable = Given::of(versions, |r| r.exportable);
    if let Some(given) = &exportable {
        let since = given.since(versions);
        lines.push(format!("right       EXPORTABLE {since}: a later order may hand it out"));
    }
    let quick = Given::of(versions, |r| r.quick_deletion);
    if let Some(given) = &quick {
        let since = given.since(versions);
        lines.push(format!("right       quick deletion {since}: sooner than after seven days"));
        // A deletion is of all versions, and goes as slowly as the slowest.
        let without = versions.iter().rev().find(|k| !k.ordered().rights.quick_deletion);
        lines.extend(without.map(|k| {
            format!("            but version {} was made without: it waits seven days", k.version())
        }));
    }
    if lines.is_empty() {
        lines.push("rights      none: it is never exported, nor deleted within seven days".into());
    }
    let json = json!({
        "exportable": exportable.map(|given| given.json()),
        "quick_deletion": quick.map(|given| given.json()),
    });
    (lines, json)
}

/// The mark of a version in a list of them.
pub(super) fn mark(key: &Key) -> &'static str {
    match key.ordered().rights {
        Rights { exportable: true, quick_deletion: true } => " EXPORTABLE, quick deletion",
        Rights { exportable: true, .. } => " EXPORTABLE",
        Rights { quick_deletion: true, .. } => " quick deletion",
        Rights::NONE => "",
    }
}

/// The version from which on every one was made with a right.
struct Given<'a>(&'a Key);

impl<'a> Given<'a> {
    fn of(versions: &'a [Key], has: fn(&Rights) -> bool) -> Option<Self> {
        let rights: Vec<Rights> = versions.iter().map(|key| key.ordered().rights).collect();
        versions.get(since(&rights, has)?).map(Self)
    }

    fn since(&self, versions: &[Key]) -> String {
        let order = self.0.verified().order();
        let (hash, at) = (order.hash().short(), render::time(order.order().issued_at));
        match versions.len() {
            1 => format!("by order {hash} of {at}"),
            _ => format!("since version {}, by order {hash} of {at}", self.0.version()),
        }
    }

    fn json(&self) -> Value {
        let order = self.0.verified().order();
        json!({
            "since_version": self.0.version().get(),
            "order": order.hash().to_string(),
            "issued_at": order.order().issued_at.0,
        })
    }
}

/// Where the run begins that ends with the last; `None` if that one is without.
fn since(rights: &[Rights], has: fn(&Rights) -> bool) -> Option<usize> {
    let run = rights.iter().rev().take_while(|r| has(r)).count();
    (run > 0).then(|| rights.len() - run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_held_since_the_last_version_without_it() {
        const HAS: Rights = Rights { exportable: true, quick_deletion: false };
        let exportable = |all: &[Rights]| since(all, |r| r.exportable);
        assert_eq!(exportable(&[HAS, HAS, HAS]), Some(0));
        assert_eq!(exportable(&[HAS, Rights::NONE, HAS, HAS]), Some(2));
        assert_eq!(exportable(&[HAS, HAS, Rights::NONE]), None, "a version of its own");
        assert_eq!(exportable(&[]), None);
        assert_eq!(since(&[HAS], |r| r.quick_deletion), None, "another right");
    }
}
