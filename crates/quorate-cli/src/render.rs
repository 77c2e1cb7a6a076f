//! Rosters, orders and keys as people read them.

mod moves;

use moves::coalitions;
pub use moves::{Before, Moves, member};

use quorate_types::{
    Action, ChainId, Cluster, Committee, CreateKey, Disabled, ExportKey, ExportStep, Holding,
    ImportKey, Member, Millis, NodeEntry, NodeIndex, Order, Ownership, ResolveFork, Roster,
    RotateKey, SetKeyState, Terms, coalition::MAX_COALITIONS,
};
use serde_json::{Value, json};

/// A time in UTC, to the second: 2026-11-23 14:05:09Z.
#[must_use]
pub fn time(at: Millis) -> String {
    let seconds = at.0 / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (y, m, d) = civil(days);
    format!("{y:04}-{m:02}-{d:02} {:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days since 1970-01-01 as year, month, day (Hinnant, "chrono-compatible low-level
/// date algorithms", civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(m <= 2), m, d)
}

/// `node-2 (Helvetia Hosting, CH)` for a node of the roster.
#[must_use]
pub fn node(roster: &Roster, index: NodeIndex) -> String {
    roster.node(index).map_or_else(
        || format!("node {index}"),
        |n| {
            if n.home == n.location {
                format!("{} ({}, {})", n.name, n.provider, n.location)
            } else {
                format!("{} ({}, {} and {})", n.name, n.provider, n.location, n.home)
            }
        },
    )
}

/// Names of nodes, in a line.
#[must_use]
pub fn nodes<'a>(roster: &Roster, indices: impl IntoIterator<Item = &'a NodeIndex>) -> String {
    let name = |i: &NodeIndex| roster.node(*i).map_or(i.to_string(), |n| n.name.to_string());
    indices.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Names of nodes that held shares before, in a line: an index may have been another's then.
#[must_use]
pub fn former(cluster: &Cluster, indices: &[NodeIndex]) -> String {
    let departed = cluster.departed();
    let name = |i: &NodeIndex| {
        let before = departed.iter().find(|n| n.index == *i).map(|n| &n.name);
        match (cluster.roster().node(*i).map(|n| &n.name), before) {
            (Some(now), None) => now.to_string(),
            (Some(now), Some(before)) => format!("{before} or {now}, which has its place"),
            (None, Some(before)) => format!("{before}, which has left"),
            (None, None) => i.to_string(),
        }
    };
    indices.iter().map(name).collect::<Vec<_>>().join("; ")
}

/// Who holds a key, and which coalitions could use it.
#[must_use]
pub fn ownership(roster: &Roster, committee: &Committee) -> (Vec<String>, Value) {
    let owners = Ownership::of(roster, committee);
    let (t, n) = (committee.threshold(), committee.size());
    let k = roster.operators.len();
    let mut lines = vec![
        format!("{t} of {n} nodes use it together; fewer learn and can do nothing."),
        format!(
            "Operators: {} of {k} together can order shares moved: they are a coalition too.",
            roster.quorum
        ),
        "Held by:".into(),
    ];
    lines.extend(committee.members().iter().map(|m| format!("  {}", holder(roster, m))));
    let text =
        |set: &[&Holding]| set.iter().map(|h| h.holder.to_string()).collect::<Vec<_>>().join(" + ");
    let coalitions = owners.coalitions();
    lines.push("Smallest coalitions of holders that could use it:".into());
    const SHOWN: usize = 8;
    lines.extend(coalitions.iter().take(SHOWN).map(|c| format!("  {}", text(c))));
    if coalitions.len() > SHOWN {
        let more = coalitions.len() - SHOWN;
        let least = if coalitions.len() >= MAX_COALITIONS { "at least " } else { "" };
        lines.push(format!("  and {least}{more} more (all with --output json)"));
    }
    lines.extend(warnings(&owners));
    let gone = committee.members().iter().filter(|m| !is_there(roster, m)).count();
    if gone > 0 {
        lines.push(format!(
            "{gone} of its members are in the roster no more, so the places above are not all where \
             its shares are: `quorate cluster apply` moves them, `quorate share status` says whether \
             enough are left."
        ));
    }
    let json = json!({
        "threshold": t.get(),
        "committee": committee.indices().map(NodeIndex::get).collect::<Vec<_>>(),
        "operators": { "quorum": roster.quorum, "of": k },
        "coalitions": coalitions.iter().map(|c| {
            c.iter().map(|h| h.holder.to_string()).collect::<Vec<_>>()
        }).collect::<Vec<_>>(),
        "concentrated": holders(owners.concentrated()),
        "fragile": holders(owners.fragile()),
    });
    (lines, json)
}

/// Whether the node of this index is the one that holds the share.
fn is_there(roster: &Roster, member: &Member) -> bool {
    roster.node(member.index).is_some_and(|n| n.identity == member.identity)
}

fn holder(roster: &Roster, member: &Member) -> String {
    let index = member.index;
    match roster.node(index) {
        Some(_) if is_there(roster, member) => node(roster, index),
        Some(now) => format!("node {index} as it was: another node has its place ({})", now.name),
        None => format!("node {index}, which has left the roster"),
    }
}

fn warnings(owners: &Ownership) -> Vec<String> {
    let mut lines = Vec::new();
    for h in owners.concentrated() {
        lines.push(format!("DANGER: {} alone could use it.", h.holder));
    }
    for h in owners.fragile() {
        lines.push(format!("Warning: without {} it would be out of reach.", h.holder));
    }
    lines
}

fn holders<'a>(holdings: impl Iterator<Item = &'a Holding>) -> Vec<String> {
    holdings.map(|h| h.holder.to_string()).collect()
}

/// Everything that an order says, line by line.
#[must_use]
pub fn order(order: &Order, roster: &Roster) -> (Vec<String>, Value) {
    whole(order, roster, &[], None)
}

/// The same; of shares that move also what changes, against what the key is before.
#[must_use]
pub fn order_after(
    order: &Order,
    cluster: &Cluster,
    before: Option<&Before>,
) -> (Vec<String>, Value) {
    whole(order, cluster.roster(), &cluster.departed(), before)
}

fn whole(
    order: &Order,
    roster: &Roster,
    departed: &[&NodeEntry],
    before: Option<&Before>,
) -> (Vec<String>, Value) {
    let (mut lines, action) = match &order.action {
        Action::CreateKey(create) => create_key(create, roster),
        Action::Reshare(to) => moves::of(to, roster, departed, before).whole(),
        Action::AddClient { name, client } => (
            vec![format!("ADD CLIENT {name}"), format!("  public key    {client}")],
            json!({ "action": "add-client", "name": name.as_str(), "key": client.to_string() }),
        ),
        Action::RevokeClient { client } => (
            vec!["REVOKE CLIENT, at once and for ever".into(), format!("  public key    {client}")],
            json!({ "action": "revoke-client", "key": client.to_string() }),
        ),
        Action::SetKeyState(state) => key_state(state),
        Action::ImportKey(import) => import_key(import, roster),
        Action::ExportKey(export) => export_key(export),
        Action::RotateKey(rotate) => rotate_key(rotate, roster),
        Action::ResolveFork(fork) => resolve_fork(fork),
    };
    lines.extend([
        format!("  cluster       {} ({})", roster.cluster, order.fingerprint),
        format!("  roster        version {} ({})", order.roster_version, order.roster_hash.short()),
        format!("  issued        {}", time(order.issued_at)),
        format!("  dies unused   {}", time(order.expires_at)),
        format!("  follows       {}", predecessor(order)),
    ]);
    let mut json = action;
    json["cluster"] = json!(order.fingerprint.to_string());
    json["roster_version"] = json!(order.roster_version);
    json["issued_at"] = json!(order.issued_at.0);
    json["expires_at"] = json!(order.expires_at.0);
    json["predecessor"] = json!(order.predecessor.to_string());
    (lines, json)
}

fn key_state(state: &SetKeyState) -> (Vec<String>, Value) {
    let list = |items: Vec<String>| if items.is_empty() { "none".into() } else { items.join(", ") };
    let disabled = match &state.disabled {
        Disabled::All => "every version, also those to come".to_owned(),
        Disabled::Versions(versions) => list(versions.iter().map(ToString::to_string).collect()),
    };
    let deletion = match state.deletion {
        Some(at) => format!("{}: ALL SHARES OF ALL VERSIONS ARE DESTROYED THEN", time(at)),
        None => "none".into(),
    };
    let tags: Vec<String> = state.tags.iter().map(|t| format!("{}={}", t.name, t.value)).collect();
    let aliases: Vec<String> = state.aliases.iter().map(ToString::to_string).collect();
    let lines = vec![
        format!("SET STATE OF KEY {}, all of it, to revision {}", state.name, state.revision),
        format!("  disabled      {disabled}"),
        format!("  deletion      {deletion}"),
        format!("  aliases       {}", list(aliases)),
        format!("  tags          {}", list(tags)),
        format!("  description   {}", state.description),
    ];
    let mut json = crate::cmd::key_state::json_of(state);
    json["action"] = json!("set-key-state");
    json["key"] = json!(state.name.as_str());
    (lines, json)
}

fn resolve_fork(fork: &ResolveFork) -> (Vec<String>, Value) {
    let chain = match &fork.chain {
        ChainId::Policy => "policy and clients".to_owned(),
        ChainId::Key(name) => format!("key {name}"),
        ChainId::Rotation(name) => format!("the schedule of versions of key {name}"),
    };
    let lines = vec![
        format!("RESOLVE FORK of the orders for {chain}"),
        format!("  stays         order {}", fork.stays),
        format!("  falls         order {}, and all that was chained after it", fork.falls),
    ];
    let json = json!({
        "action": "resolve-fork",
        "chain": match &fork.chain {
            ChainId::Policy => json!("policy"),
            ChainId::Key(name) => json!({ "key": name.as_str() }),
            ChainId::Rotation(name) => json!({ "rotation": name.as_str() }),
        },
        "stays": fork.stays.to_string(),
        "falls": fork.falls.to_string(),
    });
    (lines, json)
}

fn predecessor(order: &Order) -> String {
    if order.predecessor == quorate_types::Hash::default() {
        "nothing (first of its chain)".into()
    } else {
        format!("order {}", order.predecessor.short())
    }
}

/// What follows from the numbers of an order.
fn bounds(action: &Action) -> Vec<String> {
    let Some(terms) = Terms::stated(action) else { return Vec::new() };
    let (first, last) = terms.numbers().into_inner();
    vec![
        format!("  tolerates     {} lying nodes meanwhile", terms.tolerated_liars()),
        format!("  epochs        {first} to {last}"),
    ]
}

/// Seconds in the largest unit that fits: `30 d`.
#[must_use]
pub fn span(seconds: u32) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units.iter().find(|(n, _)| seconds > 0 && seconds.is_multiple_of(*n));
    unit.map_or_else(|| format!("{seconds} s"), |(n, unit)| format!("{} {unit}", seconds / n))
}

fn create_key(c: &CreateKey, roster: &Roster) -> (Vec<String>, Value) {
    let action = &Action::CreateKey(c.clone());
    let mut lines = vec![
        format!("CREATE KEY {} version {}", c.name, c.version),
        format!("  suite         {} (to {})", c.suite, c.purpose),
        format!("  threshold     {} of {}", c.committee.threshold(), c.committee.size()),
        format!("  born when     {} nodes have signed it active", c.q),
    ];
    lines.extend(bounds(action));
    for m in c.committee.members() {
        lines.push(format!("  node {:<9}{}", m.index.get(), node(roster, m.index)));
        lines.push(format!("                {}", m.identity));
    }
    for g in &c.grants {
        lines.push(format!("  client        {} until {}", g.name, time(g.expires_at)));
        lines.push(format!("                {}", g.client));
    }
    if c.grants.is_empty() {
        lines.push("  client        none: nobody may use it".into());
    }
    if c.danger_concentrated {
        lines.push("  DANGER        one provider or jurisdiction may hold enough shares".into());
    }
    if c.acknowledge_fragile {
        lines.push("  acknowledged  losing one jurisdiction may put it out of reach".into());
    }
    if c.rights.exportable {
        lines.push("  EXPORTABLE    a later order may hand the key itself out".into());
    }
    if c.rights.quick_deletion {
        lines.push("  right         a later order may delete it within seven days".into());
    }
    lines.extend(warnings(&Ownership::of(roster, &c.committee)));
    let json = json!({
        "action": "create-key",
        "name": c.name.as_str(),
        "version": c.version.get(),
        "suite": c.suite.as_str(),
        "purpose": c.purpose.as_str(),
        "threshold": c.committee.threshold().get(),
        "q": c.q,
        "committee": c.committee.members().iter().map(|m| json!({
            "index": m.index.get(), "identity": m.identity.to_string(),
        })).collect::<Vec<_>>(),
        "grants": c.grants.iter().map(|g| json!({
            "name": g.name.as_str(), "key": g.client.to_string(), "expires_at": g.expires_at.0,
        })).collect::<Vec<_>>(),
        "danger_concentrated": c.danger_concentrated,
        "acknowledge_fragile": c.acknowledge_fragile,
        "exportable": c.rights.exportable,
        "quick_deletion": c.rights.quick_deletion,
    });
    (lines, json)
}

/// Who gets what, when. Of one that ends a schedule only that.
fn rotate_key(rotate: &RotateKey, roster: &Roster) -> (Vec<String>, Value) {
    let name = rotate.name();
    if rotate.times == 0 {
        let lines = vec![format!("END THE SCHEDULE of versions of key {name}")];
        return (lines, json!({ "action": "end-rotation", "name": name.as_str() }));
    }
    let (mut lines, mut json) = create_key(&rotate.create, roster);
    let (first, last) = (rotate.create.version, rotate.last_in_time());
    lines[0] = match last {
        Some(last) if last > first => {
            format!("SCHEDULE VERSIONS {first} to {last} of key {name}, without further orders")
        }
        Some(_) => format!("SCHEDULE VERSION {first} of key {name}, without further orders"),
        None => format!("SCHEDULE of versions of key {name} that none is due under"),
    };
    let due = |version| rotate.due(version).map_or_else(String::new, time);
    let mut dates = vec![format!("  version {:<6}is due {}", first, time(rotate.from))];
    if let Some(last) = last.filter(|last| *last > first) {
        dates.push(format!("  SCHEDULE      the next ones every {}", span(rotate.every)));
        dates.push(format!("  version {last:<6}is due {}, and is the last", due(last)));
    }
    dates.push(format!("  ends          {}", time(rotate.until)));
    lines.splice(1..1, dates);
    lines.push("  can use each of them, at the least:".into());
    lines.extend(coalitions(roster, &rotate.create.committee));
    json["action"] = json!("rotate-key");
    json["last_version"] = json!(last.map(|version| version.get()));
    json["from"] = json!(rotate.from.0);
    json["every"] = json!(rotate.every);
    json["times"] = json!(rotate.times);
    json["until"] = json!(rotate.until.0);
    (lines, json)
}

fn import_key(import: &ImportKey, roster: &Roster) -> (Vec<String>, Value) {
    let (mut lines, mut json) = create_key(&import.create, roster);
    let (name, version) = (&import.create.name, import.create.version);
    lines[0] = format!("IMPORT KEY {name} version {version}, which its owner has already");
    let public_key = hex::encode(import.public_key);
    lines.insert(1, format!("  public key    {public_key}"));
    lines.insert(2, format!("  dealer        {}", import.dealer));
    json["action"] = json!("import-key");
    json["public_key"] = json!(public_key);
    json["dealer"] = json!(import.dealer.to_string());
    (lines, json)
}

fn export_key(export: &ExportKey) -> (Vec<String>, Value) {
    let (name, version) = (&export.name, export.version);
    let mut json = json!({ "name": name.as_str(), "version": version.get() });
    let lines = match &export.step {
        ExportStep::Open { recipient, danger_no_cooling_off } => {
            let recipient = hex::encode(recipient);
            json["action"] = json!("export-key");
            json["recipient"] = json!(recipient);
            json["danger_no_cooling_off"] = json!(danger_no_cooling_off);
            vec![
                format!("EXPORT KEY {name} version {version}: THE KEY ITSELF IS HANDED OUT"),
                format!("  recipient     {recipient}"),
                "  DANGER        at once: nobody gets time to object".into(),
                "  no new epoch  of it until this order dies, or another one closes the export"
                    .into(),
            ]
        }
        ExportStep::Close { order } => {
            json["action"] = json!("close-export");
            json["order"] = json!(order.to_string());
            vec![
                format!("CLOSE EXPORT of key {name} version {version}"),
                format!("  opened by     order {order}"),
            ]
        }
    };
    (lines, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(time(Millis(0)), "1970-01-01 00:00:00Z");
        assert_eq!(time(Millis(951_782_400_000)), "2000-02-29 00:00:00Z");
        assert_eq!(time(Millis(1_795_478_709_123)), "2026-11-24 00:05:09Z");
    }
}
