//! `quorate key disable|enable|describe|schedule-deletion|cancel-deletion`: how a key is, ordered
//! whole each time.

use super::{
    order::{Fate, confirmed, make},
    roster::up_to_date,
};
use crate::{
    args::{Global, KeyAble, KeyDelete, KeyDescribe, KeyNamed, OrderOut},
    failure::Failure,
    output::Report,
    render,
    time::now,
};
use quorate_client::{CarriedOut, KeyState, Operator};
use quorate_types::{
    Action, Disabled, Hash, KeyName, KeyVersion, Millis, NodeIndex, Roster, SetKeyState, Tag,
    TagName, TagValue, VerifiedOrder,
};
use serde_json::{Value, json};

/// Every use of the key, or of one version, is refused from now on.
///
/// # Errors
/// When the order is refused.
pub async fn disable(global: &Global, args: &KeyAble) -> Result<Report, Failure> {
    let key = Key::read(global, &args.name).await?;
    let mut state = key.next();
    state.disabled = match (args.version, &state.disabled) {
        (None, _) => Disabled::All,
        (Some(_), Disabled::All) => Disabled::All,
        (Some(version), Disabled::Versions(already)) => {
            let mut versions = already.clone();
            versions.push(key.version(version)?);
            versions.sort();
            versions.dedup();
            Disabled::Versions(versions)
        }
    };
    key.order(state, &args.order).await
}

/// The end of [`disable`].
///
/// # Errors
/// When the order is refused.
pub async fn enable(global: &Global, args: &KeyAble) -> Result<Report, Failure> {
    let key = Key::read(global, &args.name).await?;
    let mut state = key.next();
    state.disabled = match args.version {
        None => Disabled::Versions(Vec::new()),
        Some(version) => {
            let version = key.version(version)?;
            let all = (1..=key.newest.get()).filter_map(KeyVersion::new);
            let still = all.filter(|v| *v != version && state.disabled.has(*v));
            Disabled::Versions(still.collect())
        }
    };
    key.order(state, &args.order).await
}

/// Description, tags and aliases.
///
/// # Errors
/// When nothing is said, or the order is refused.
pub async fn describe(global: &Global, args: &KeyDescribe) -> Result<Report, Failure> {
    let KeyDescribe { name, description, tag, untag, alias, unalias, order } = args;
    let key = Key::read(global, name).await?;
    let mut state = key.next();
    if let Some(text) = description {
        state.description.clone_from(text);
    }
    for pair in tag {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--tag is NAME=VALUE, got {pair}")))?;
        let name = TagName::new(name).map_err(Failure::usage)?;
        let value = TagValue::new(value).map_err(Failure::usage)?;
        state.tags.retain(|t| t.name != name);
        state.tags.push(Tag { name, value });
    }
    for name in untag {
        state.tags.retain(|t| t.name.as_str() != name);
    }
    for name in alias {
        let name = KeyName::new(name).map_err(Failure::usage)?;
        state.aliases.retain(|a| *a != name);
        state.aliases.push(name);
    }
    for name in unalias {
        state.aliases.retain(|a| a.as_str() != name);
    }
    state.tags.sort_by(|a, b| a.name.cmp(&b.name));
    state.aliases.sort();
    key.order(state, order).await
}

/// The key waits for its deletion, and refuses every use.
///
/// # Errors
/// When nobody says yes, or the order is refused.
pub async fn schedule_deletion(global: &Global, args: &KeyDelete) -> Result<Report, Failure> {
    let key = Key::read(global, &args.name).await?;
    let wait = match args.after {
        Some(seconds) => u64::from(seconds) * 1000,
        None => u64::from(args.days) * Millis::DAY,
    };
    let mut state = key.next();
    state.deletion = Some(now().plus(wait));
    if !args.yes {
        eprintln!(
            "From now on {} refuses every use, and in {} every node destroys its shares of all \
             versions.\nWhat was encrypted under it can then never be decrypted by anybody.",
            args.name,
            render::span(u32::try_from(wait / 1000).unwrap_or(u32::MAX)),
        );
        if !confirmed("Order this? [y/N] ")? {
            return Err(Failure::new("not ordered"));
        }
    }
    // The order lives at least as long as the key waits, for nodes that are away meanwhile.
    let days = wait.div_ceil(Millis::DAY).clamp(args.order.order_days, 30);
    let out = OrderOut { order_out: args.order.order_out.clone(), order_days: days };
    key.order(state, &out).await
}

/// The end of [`schedule_deletion`], while there is time.
///
/// # Errors
/// When the order is refused.
pub async fn cancel_deletion(global: &Global, args: &KeyNamed) -> Result<Report, Failure> {
    let key = Key::read(global, &args.name).await?;
    if key.is.state.deletion.is_none() {
        return Err(Failure::usage(format!("{} does not wait for its deletion", args.name)));
    }
    let mut state = key.next();
    state.deletion = None;
    key.order(state, &args.order).await
}

/// A key as operators have ordered it so far.
struct Key {
    operator: Operator,
    is: KeyState,
    /// Its newest version, born or not.
    newest: KeyVersion,
    head: Hash,
}

impl Key {
    async fn read(global: &Global, name: &str) -> Result<Self, Failure> {
        let operator = up_to_date(global).await?;
        let name = KeyName::new(name).map_err(Failure::usage)?;
        let heads = operator.heads(Some(&name)).await?;
        let newest = heads.key_order.as_ref().and_then(VerifiedOrder::terms).map(|t| t.newest);
        let newest =
            newest.ok_or_else(|| Failure::usage(format!("no order has made a key {name}")))?;
        // Versions that are born by themselves stand in no order of the key's chain.
        let scheduled = heads.rotation_order.as_ref().and_then(VerifiedOrder::rotation);
        let last = scheduled.and_then(|rotate| KeyVersion::new(rotate.last()));
        let newest = last.map_or(newest, |last| last.max(newest));
        let is = operator.key_state(&name).await?;
        Ok(Self { operator, is, newest, head: heads.key })
    }

    /// How it will be, but for what is changed. A deletion is not carried on: with it nothing else
    /// can be ordered, since each order states a full waiting time.
    fn next(&self) -> SetKeyState {
        let revision = self.is.state.revision.saturating_add(1);
        SetKeyState { revision, ..self.is.state.clone() }
    }

    fn version(&self, version: u32) -> Result<KeyVersion, Failure> {
        let version = KeyVersion::new(version).filter(|v| *v <= self.newest);
        version.ok_or_else(|| {
            Failure::usage(format!("{} has versions 1 to {}", self.is.state.name, self.newest))
        })
    }

    async fn order(self, state: SetKeyState, out: &OrderOut) -> Result<Report, Failure> {
        let before = &self.is.state;
        if (SetKeyState { revision: before.revision, ..state.clone() }) == *before {
            let text = format!("{} is so already", state.name);
            return Ok(Report::new(text, json!({ "done": true, "revision": before.revision })));
        }
        if before.deletion.is_some() && state.deletion == before.deletion {
            let text = format!(
                "{} waits for its deletion; `quorate key cancel-deletion {}` first",
                state.name, state.name
            );
            return Err(Failure::usage(text));
        }
        let action = Action::SetKeyState(state.clone());
        match make(&self.operator, action, self.head, out).await? {
            Fate::Written(text) => Ok(Report::new(text, json!({ "done": false }))),
            Fate::Done(CarriedOut::Applied) => {
                let mut lines = vec![format!("{}: revision {}", state.name, state.revision)];
                lines.extend(said(&state));
                let mut json = json_of(&state);
                json["done"] = json!(true);
                Ok(Report::new(lines.join("\n"), json))
            }
            Fate::Done(_) => Err(Failure::new("the order was applied, and something else came")),
        }
    }
}

/// What an order says of a key, line by line.
pub(super) fn said(state: &SetKeyState) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(at) = state.deletion {
        lines.push(format!("deletion    {}: until then it refuses every use", render::time(at)));
    }
    match &state.disabled {
        Disabled::All => lines.push("disabled    every version".into()),
        Disabled::Versions(versions) if !versions.is_empty() => {
            let all: Vec<String> = versions.iter().map(ToString::to_string).collect();
            lines.push(format!("disabled    version {}", all.join(", ")));
        }
        Disabled::Versions(_) => {}
    }
    if !state.description.is_empty() {
        lines.push(format!("description {}", state.description));
    }
    lines.extend(state.tags.iter().map(|t| format!("tag         {}={}", t.name, t.value)));
    lines.extend(state.aliases.iter().map(|a| format!("alias       {a}")));
    lines
}

/// The same for programs.
pub(crate) fn json_of(state: &SetKeyState) -> Value {
    let tags: serde_json::Map<String, Value> =
        state.tags.iter().map(|t| (t.name.to_string(), json!(t.value.as_str()))).collect();
    let disabled = match &state.disabled {
        Disabled::All => json!("all"),
        Disabled::Versions(versions) => {
            json!(versions.iter().map(|v| v.get()).collect::<Vec<_>>())
        }
    };
    json!({
        "revision": state.revision,
        "description": state.description,
        "tags": tags,
        "aliases": state.aliases.iter().map(KeyName::as_str).collect::<Vec<_>>(),
        "disabled": disabled,
        "deletion": state.deletion.map(|at| at.0),
    })
}

/// What is to be known of a key's state: the orders', and nodes that are behind, or that have
/// destroyed it or not.
pub(super) fn shown(is: &KeyState, roster: &Roster) -> (Vec<String>, Value) {
    let mut lines = said(&is.state);
    if is.state.revision > 0 {
        lines.push(format!("revision    {}", is.state.revision));
    }
    let name = |node: NodeIndex| render::node(roster, node);
    let destroying = is.nodes.iter().any(|n| n.destroyed.is_some());
    for node in &is.nodes {
        let text = match (&node.silent, &node.destroyed) {
            (Some(reason), _) if is.state.revision > 0 => format!("says nothing: {reason}"),
            (None, Some(destroyed)) => format!(
                "has destroyed all that it held of it, {} (signed receipt)",
                render::time(destroyed.at)
            ),
            (None, None) if node.revision < is.state.revision => format!(
                "is at revision {}: what it missed comes to it when the order is submitted again",
                node.revision
            ),
            (None, None) if destroying => "HAS NOT DESTROYED IT YET".into(),
            _ => continue,
        };
        lines.push(format!("node        {}: {text}", name(node.node)));
    }
    let mut json = json_of(&is.state);
    json["nodes"] = json!(
        is.nodes
            .iter()
            .map(|n| json!({
                "node": n.node.get(), "revision": n.revision, "silent": n.silent,
                "destroyed_at": n.destroyed.as_ref().map(|d| d.at.0),
            }))
            .collect::<Vec<_>>()
    );
    (lines, json)
}
