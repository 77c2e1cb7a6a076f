//! `quorate cluster show|check|status`.

use crate::{
    args::Global,
    compose,
    failure::Failure,
    output::{Report, table},
    render, session,
};
use quorate_client::NodeStatus;
use serde_json::json;

/// Prints the roster of the home.
///
/// # Errors
/// When the home cannot be opened.
pub fn show(global: &Global) -> Result<Report, Failure> {
    let home = session::home(global)?;
    let (cluster, roster) = (home.cluster(), home.cluster().roster());
    let mut lines = vec![
        format!("cluster      {}", roster.cluster),
        format!("fingerprint  {}", cluster.fingerprint()),
        format!("roster       version {}, {}", roster.version, render::time(roster.written_at)),
    ];
    let mut rows = vec![
        ["NODE", "NAME", "ENDPOINT", "PROVIDER", "LOCATION", "HOME"].map(String::from).to_vec(),
    ];
    rows.extend(roster.nodes.iter().map(|n| {
        vec![
            n.index.to_string(),
            n.name.to_string(),
            n.endpoint.to_string(),
            n.provider.to_string(),
            n.location.to_string(),
            n.home.to_string(),
        ]
    }));
    lines.push(table(&rows));
    for c in &roster.coordinators {
        lines.push(format!("coordinator  {} at {}", c.name, c.endpoint));
    }
    for o in &roster.operators {
        lines.push(format!("operator     {} {}", o.name, o.key));
    }
    lines.push(format!("orders       need {} of these operators", roster.quorum));
    let json = json!({
        "cluster": roster.cluster.as_str(),
        "fingerprint": cluster.fingerprint().to_string(),
        "version": roster.version,
        "nodes": roster.nodes.iter().map(|n| json!({
            "index": n.index.get(), "name": n.name.as_str(), "endpoint": n.endpoint.as_str(),
            "provider": n.provider.as_str(), "location": n.location.as_str(),
            "home": n.home.as_str(), "identity": n.identity.to_string(),
        })).collect::<Vec<_>>(),
        "coordinators": roster.coordinators.iter().map(|c| json!({
            "name": c.name.as_str(), "endpoint": c.endpoint.as_str(),
            "tls_key": c.tls_key.to_string(),
        })).collect::<Vec<_>>(),
        "operators": roster.operators.iter().map(|o| json!({
            "name": o.name.as_str(), "key": o.key.to_string(),
        })).collect::<Vec<_>>(),
        "quorum": roster.quorum,
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// Who could use a key of these nodes together.
///
/// # Errors
/// For nodes and thresholds that do not fit. A concentrated committee is a failure.
pub fn check(global: &Global, threshold: Option<u16>, indices: &[u16]) -> Result<Report, Failure> {
    let home = session::home(global)?;
    let roster = home.cluster().roster();
    let threshold =
        threshold.or(home.config().threshold).ok_or_else(|| Failure::usage("say --threshold T"))?;
    let committee = compose::committee(roster, indices, threshold)?;
    let (lines, json) = render::ownership(roster, &committee);
    let concentrated = json["concentrated"].as_array().is_some_and(|c| !c.is_empty());
    if concentrated && matches!(global.output, crate::args::Output::Text) {
        let text = lines.join("\n");
        return Err(Failure::new(format!("this committee is refused by every node\n{text}")));
    }
    Ok(Report::new(lines.join("\n"), json))
}

/// Health of every node.
///
/// # Errors
/// When no coordinator answers; exit code 4 when fewer nodes serve than use a key.
pub async fn status(global: &Global) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let status = operator.status().await?;
    let threshold = session::home(global)?.config().threshold;
    let mut rows = vec![
        ["NODE", "NAME", "WHERE", "STATE", "KEYS", "LATENCY", "VERSION"].map(String::from).to_vec(),
    ];
    rows.extend(status.nodes.iter().map(row));
    let serving = status.nodes.iter().filter(|n| n.reachable && n.state == "serving").count();
    let mut lines =
        vec![format!("coordinator {} {}", status.coordinator, status.software), table(&rows)];
    if let Some(t) = threshold {
        lines.push(match serving.checked_sub(usize::from(t)) {
            Some(0) => format!("{serving} serve, {t} are needed: no further node may be lost"),
            Some(more) => format!("{serving} serve, {t} are needed: {more} more may be lost"),
            None => format!("{serving} serve, {t} are needed: NO KEY OF ALL NODES CAN BE USED"),
        });
    }
    for node in status.nodes.iter().filter(|n| !n.detail.is_empty()) {
        lines.push(format!("{}: {}", node.name, node.detail));
    }
    let json = json!({
        "coordinator": status.coordinator,
        "software": status.software,
        "roster_version": status.roster_version,
        "serving": serving,
        "threshold": threshold,
        "nodes": status.nodes.iter().map(|n| json!({
            "node": n.node, "name": n.name, "endpoint": n.endpoint, "provider": n.provider,
            "location": n.location, "home": n.home, "reachable": n.reachable,
            "state": n.state, "keys": n.keys, "latency_micros": n.latency_micros,
            "version": n.version, "detail": n.detail, "quarantine": n.quarantine,
        })).collect::<Vec<_>>(),
    });
    Ok(Report::new(lines.join("\n"), json))
}

fn row(n: &NodeStatus) -> Vec<String> {
    let place = if n.home == n.location {
        n.location.clone()
    } else {
        format!("{}, {}", n.location, n.home)
    };
    let latency = match n.latency_micros {
        0 => "-".into(),
        us => format!("{:.1} ms", f64::from(us) / 1000.0),
    };
    let name = n.name.clone();
    vec![
        n.node.to_string(),
        name,
        place,
        n.state.clone(),
        n.keys.to_string(),
        latency,
        n.version.clone(),
    ]
}
