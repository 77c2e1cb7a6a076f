//! `quorate audit tail`.

use crate::{args::Global, failure::Failure, output::Report, render, session};
use quorate_types::{AuditEntry, Decision, Event, Format, NodeIndex, RequestHead};
use serde_json::{Value, json};

/// The newest entries of one node's log.
///
/// # Errors
/// When node or coordinator do not answer.
pub async fn tail(global: &Global, node: u16, count: u32) -> Result<Report, Failure> {
    let index = NodeIndex::new(node).map_err(Failure::usage)?;
    let (first, entries) = session::operator(global)?.audit_tail(index, count).await?;
    let mut lines = Vec::new();
    let mut all = Vec::new();
    for (number, entry) in (first..).zip(&entries) {
        let (text, mut json) = describe(entry);
        lines.push(format!("{number:>6}  {}  {text}", render::time(entry.at)));
        json["number"] = json!(number);
        json["at"] = json!(entry.at.0);
        all.push(json);
    }
    Ok(Report::new(lines.join("\n"), json!(all)))
}

fn describe(entry: &AuditEntry) -> (String, Value) {
    match &entry.event {
        Event::Started => ("started".into(), json!({ "event": "started" })),
        Event::Order { order } => (
            format!("order {}", order.short()),
            json!({ "event": "order", "order": order.to_string() }),
        ),
        Event::Ceremony { step, key, version, number, statement } => (
            format!("ceremony {key} version {version} epoch {number}: {}", step.as_str()),
            json!({
                "event": "ceremony", "step": step.as_str(), "key": key.as_str(),
                "version": version.get(), "epoch": number, "statement": statement.to_string(),
            }),
        ),
        Event::Destroyed { key, order } => (
            format!("DESTROYED key {key} by order {}", order.short()),
            json!({ "event": "destroyed", "key": key.as_str(), "order": order.to_string() }),
        ),
        Event::Exported { order, key, version, epoch, statement } => (
            format!(
                "EXPORTED the share of {key} version {version} epoch {} under order {}",
                epoch.number,
                order.short()
            ),
            json!({
                "event": "exported", "order": order.to_string(), "key": key.as_str(),
                "version": version.get(), "epoch": epoch.number, "statement": statement.to_string(),
            }),
        ),
        Event::Split { node, split, evidence } => (
            format!("ALARM: node {node}: {}", split.as_str()),
            json!({
                "event": "split", "node": node.get(), "split": split.word(),
                "evidence": evidence.to_string(),
            }),
        ),
        Event::Request { head, decision, .. } => request(head, decision),
    }
}

fn request(head: &[u8], decision: &Decision) -> (String, Value) {
    let outcome = match decision {
        Decision::Granted(epoch) => format!("granted, epoch {}", epoch.number),
        Decision::Refused(reason) => format!("REFUSED: {reason}"),
    };
    // The node verified it before it wrote it down; a node could write nonsense all the same.
    let Ok(head) = RequestHead::from_bytes(head) else {
        return ("a request that does not parse".into(), json!({ "event": "request" }));
    };
    let context: Vec<String> =
        head.context.pairs().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let client = head.client.to_string();
    let text = format!(
        "{} {} of {} with {} version {} [{}]: {outcome}",
        &client[..8],
        head.operation,
        head.item_count,
        head.key,
        head.version,
        context.join(", "),
    );
    let json = json!({
        "event": "request", "id": head.id.to_string(), "client": client,
        "operation": head.operation.as_str(), "key": head.key.as_str(),
        "version": head.version.get(), "items": head.item_count,
        "context": head.context.pairs(), "outcome": outcome,
    });
    (text, json)
}
