//! `quorate key rotate`: a new version of a key, with key material of its own.

use super::{
    key::{born, known_clients, warn_of_few_liars},
    order::{Fate, make},
    roster::up_to_date,
    schedule_rotation,
    share::{Chain, nodes_of},
};
use crate::{
    args::{Global, KeyRotate, NewVersion},
    compose,
    failure::Failure,
    output::Report,
    render,
    time::now,
};
use quorate_client::{CarriedOut, Key, Operator};
use quorate_types::{
    Action, CreateKey, Grant, KeyName, KeyVersion, Millis, Purpose, Roster, order::MAX_VERSIONS,
};
use serde_json::json;

/// Orders the version after the newest.
///
/// # Errors
/// For parameters that do not fit, and when its birth fails.
pub async fn run(global: &Global, args: &KeyRotate) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let name = KeyName::new(args.name.as_str()).map_err(Failure::usage)?;
    let newest = operator.key_in_force(&name).await?;
    let heads = operator.heads(Some(&name)).await?;
    let chain = Chain::of(&heads)?
        .ok_or_else(|| Failure::usage(format!("no order has made a key {name}")))?;
    let schedule = heads.key_order.as_ref().and_then(|o| o.terms()?.repeat);
    let version = next_version(&chain, newest.version(), args.past_failed)?;
    let grants = grants(&operator, &newest, &args.new.client, args.new.grant_days).await?;
    let roster = operator.cluster();
    let create = compose(roster.roster(), &newest, version, chain.first_number, grants, &args.new)?;
    let action = Action::CreateKey(create);
    warn_of_few_liars(&action, args.new.yes)?;
    match make(&operator, action, chain.head, &args.order).await? {
        Fate::Written(text) => Ok(Report::new(text, json!({ "done": false }))),
        Fate::Done(CarriedOut::Born(key)) => {
            let mut lines = vec![born(&key), keeps(&newest)];
            if schedule.is_some() {
                lines.push(format!(
                    "the schedule of its refreshes has ended: `quorate share schedule {name}`"
                ));
            }
            let standing = schedule_rotation::Shown::of(&heads, Some(version));
            lines.extend(standing.iter().flat_map(|shown| shown.lines()));
            let json = json!({
                "done": true, "name": name.as_str(), "version": key.create().version.get(),
                "before": newest.version().get(), "schedule_ended": schedule.is_some(),
            });
            Ok(Report::new(lines.join("\n"), json))
        }
        Fate::Done(_) => {
            let text =
                "the order was applied; a coordinator must conduct the birth: submit it there";
            Ok(Report::new(text, json!({ "done": false })))
        }
    }
}

/// The version to come: one that was begun and not born is finished first.
fn next_version(
    chain: &Chain,
    newest: KeyVersion,
    past_failed: bool,
) -> Result<KeyVersion, Failure> {
    if chain.newest > newest && !past_failed {
        return Ok(chain.newest);
    }
    let next = chain.newest.max(newest).get().checked_add(1).filter(|v| *v <= MAX_VERSIONS);
    let next = next.and_then(KeyVersion::new);
    next.ok_or_else(|| {
        Failure::usage(format!("a key has at most {MAX_VERSIONS} versions: make another key"))
    })
}

pub(super) fn compose(
    roster: &Roster,
    newest: &Key,
    version: KeyVersion,
    first_number: u64,
    grants: Vec<Grant>,
    args: &NewVersion,
) -> Result<CreateKey, Failure> {
    let (before, terms) = (&newest.public().committee, newest.epoch().terms());
    let nodes = match &args.committee[..] {
        [] => nodes_of(before),
        nodes => nodes.to_vec(),
    };
    let threshold = args.threshold.unwrap_or(before.threshold().get());
    let committee = compose::committee(roster, &nodes, threshold)?;
    // What was accepted for these nodes needs no second word.
    let same = nodes_of(before) == nodes && before.threshold().get() == threshold;
    Ok(CreateKey {
        version,
        q: compose::q(&committee, args.allow_absent)?,
        committee,
        first_number,
        grants,
        danger_concentrated: args.danger_concentrated || (same && terms.danger_concentrated),
        acknowledge_fragile: args.acknowledge_fragile || (same && terms.acknowledge_fragile),
        // Name, suite, purpose and whatever else the key was made with.
        ..newest.ordered().clone()
    })
}

/// Who may use the new version: the clients that are named, else those of the newest version, but
/// for grants that have ended and clients that were revoked.
pub(super) async fn grants(
    operator: &Operator,
    newest: &Key,
    client: &[String],
    days: Option<u64>,
) -> Result<Vec<Grant>, Failure> {
    let until = |days: u64| now().plus(days * Millis::DAY);
    if !client.is_empty() {
        let known = known_clients(operator).await?;
        return compose::grants(&known, client, until(days.unwrap_or(90)));
    }
    let clients = operator.clients().await?;
    let revoked = |g: &Grant| clients.iter().any(|c| c.client == g.client && c.revoked);
    let mut grants = Vec::new();
    for grant in newest.ordered().grants.iter().filter(|g| !revoked(g)) {
        let expires_at = days.map_or(grant.expires_at, until);
        if expires_at <= now() {
            eprintln!(
                "the grant of {} ended {}: it is left out; --grant-days renews it",
                grant.name,
                render::time(grant.expires_at)
            );
            continue;
        }
        grants.push(Grant { expires_at, ..grant.clone() });
    }
    Ok(grants)
}

/// What the version before is still for.
fn keeps(before: &Key) -> String {
    let version = before.version();
    match before.public().purpose {
        Purpose::Decrypt => format!("version {version} goes on decrypting what it has encrypted"),
        Purpose::Sign => format!("what version {version} has signed goes on verifying under it"),
        Purpose::Wrap => format!("version {version} goes on unwrapping what it has wrapped"),
        Purpose::Derive => format!("version {version} goes on deriving what it has derived"),
    }
}
