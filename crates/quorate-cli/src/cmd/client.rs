//! `quorate client add|revoke|list`.

use super::order::{Fate, make};
use crate::{
    args::{Global, OrderOut},
    failure::Failure,
    output::{Report, table},
    render, session,
};
use quorate_types::{Action, PartyName, ids::parse_public_key};
use serde_json::json;

/// Makes a client known.
///
/// # Errors
/// For a name or key that is none, and when the order is refused.
pub async fn add(
    global: &Global,
    name: &str,
    key: &str,
    out: &OrderOut,
) -> Result<Report, Failure> {
    let name = PartyName::new(name).map_err(Failure::usage)?;
    // `keygen` prints NAME=KEY: the key alone, or all of it, may be pasted here.
    let hex = key.rsplit_once('=').map_or(key, |(_, hex)| hex);
    let client = parse_public_key(hex).map_err(Failure::usage)?;
    let operator = session::operator(global)?;
    let known = operator.clients().await?;
    if known.iter().any(|k| k.name.as_ref() == Some(&name) && k.client != client && !k.revoked) {
        return Err(Failure::usage(format!("another client is called {name}; revoke it first")));
    }
    let heads = operator.heads(None).await?;
    let action = Action::AddClient { name: name.clone(), client };
    let fate = make(&operator, action, heads.policy, out).await?;
    Ok(told(fate, format!("client {name} is known; keys can be granted to it")))
}

/// Ends all that a client may do.
///
/// # Errors
/// For a client that nobody knows, and when the order is refused.
pub async fn revoke(global: &Global, client: &str, out: &OrderOut) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let known = operator.clients().await?;
    let named = known
        .iter()
        .find(|k| !k.revoked && k.name.as_ref().is_some_and(|n| n.as_str() == client))
        .map(|k| k.client);
    let key = match named {
        Some(key) => key,
        None => parse_public_key(client)
            .map_err(|_| Failure::usage(format!("no client {client} is known; see client list")))?,
    };
    let heads = operator.heads(None).await?;
    let action = Action::RevokeClient { client: key };
    let fate = make(&operator, action, heads.policy, out).await?;
    Ok(told(fate, format!("client {client} is revoked")))
}

/// Clients that orders name.
///
/// # Errors
/// When no party answers.
pub async fn list(global: &Global) -> Result<Report, Failure> {
    let clients = session::operator(global)?.clients().await?;
    let mut rows = vec![["NAME", "KEY", "STATE", "MAY USE"].map(String::from).to_vec()];
    rows.extend(clients.iter().map(|c| {
        let grants: Vec<String> = c
            .grants
            .iter()
            .map(|(key, until)| format!("{key} until {}", render::time(*until)))
            .collect();
        vec![
            c.name.as_ref().map_or("-".into(), ToString::to_string),
            c.client.to_string(),
            if c.revoked { "revoked" } else { "active" }.into(),
            grants.join("; "),
        ]
    }));
    let json = json!(
        clients
            .iter()
            .map(|c| json!({
                "name": c.name.as_ref().map(|n| n.as_str()),
                "key": c.client.to_string(),
                "revoked": c.revoked,
                "grants": c.grants.iter().map(|(key, until)| json!({
                    "key": key.as_str(), "expires_at": until.0,
                })).collect::<Vec<_>>(),
            }))
            .collect::<Vec<_>>()
    );
    Ok(Report::new(table(&rows), json))
}

/// What to say of an order's fate.
pub(super) fn told(fate: Fate, done: String) -> Report {
    match fate {
        Fate::Written(text) => Report::new(text, json!({ "done": false })),
        Fate::Done(_) => Report::new(done, json!({ "done": true })),
    }
}
