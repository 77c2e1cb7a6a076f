//! `quorate key create|list|show` and `quorate who-owns`.

use super::{
    export,
    key_state::shown,
    order::{Fate, confirmed, make},
    rights,
    roster::up_to_date,
    schedule_rotation,
};
use crate::{
    args::{Global, KeyCreate, KeyList, KeyShow},
    compose::{self, KnownClient},
    failure::Failure,
    output::{Report, table},
    render, session,
    signature::{minisign, spki, ssh},
    time::now,
};
use quorate_client::{CarriedOut, Error, Key, KeyFilter, KeySummary, Operator};
use quorate_types::{
    Action, Cluster, KeyName, KeyVersion, Purpose, Terms, VerifiedEpoch, VerifiedKey,
};
use serde_json::{Value, json};
use std::io::Write;

/// Makes a key.
///
/// # Errors
/// For parameters that do not fit, and when its birth fails.
pub async fn create(global: &Global, args: &KeyCreate) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let cluster = operator.cluster();
    let known = known_clients(&operator).await?;
    let default = session::home(global)?.config().threshold;
    let name = KeyName::new(args.name.as_str()).map_err(Failure::usage)?;
    let heads = operator.heads(Some(&name)).await?;
    let first = compose::first_number(&heads);
    let create = compose::create_key(cluster.roster(), args, default, &known, first, now())?;
    let action = Action::CreateKey(create);
    warn_of_few_liars(&action, args.yes)?;
    match make(&operator, action, heads.key, &args.order).await? {
        Fate::Written(text) => Ok(Report::new(text, json!({ "done": false }))),
        Fate::Done(CarriedOut::Born(key)) => {
            let (_, json) = describe(&cluster, &key, key.epoch());
            Ok(Report::new(born(&key), json))
        }
        Fate::Done(_) => {
            let text =
                "the order was applied; a coordinator must conduct the birth: submit it there";
            Ok(Report::new(text, json!({ "done": false })))
        }
    }
}

pub(super) async fn known_clients(operator: &Operator) -> Result<Vec<KnownClient>, Failure> {
    let clients = operator.clients().await?;
    let known = clients.into_iter().filter(|c| !c.revoked);
    Ok(known.filter_map(|c| Some(KnownClient { name: c.name?, key: c.client })).collect())
}

/// Fewer tolerated liars than `t − 1` is a choice that a person makes.
pub(super) fn warn_of_few_liars(action: &Action, yes: bool) -> Result<(), Failure> {
    let Some(terms) = Terms::stated(action) else { return Ok(()) };
    let (tolerated, wanted) = (terms.tolerated_liars(), terms.committee.threshold().as_usize() - 1);
    if tolerated >= wanted || yes || usize::from(terms.q) == terms.committee.size() {
        return Ok(());
    }
    eprintln!("This order tolerates {tolerated} lying nodes, fewer than {wanted}.");
    if confirmed("Go on? [y/N] ")? { Ok(()) } else { Err(Failure::new("not ordered")) }
}

pub(super) fn born(key: &VerifiedKey) -> String {
    let create = key.create();
    let clients: Vec<&str> = create.grants.iter().map(|g| g.name.as_str()).collect();
    let clients = if clients.is_empty() { "nobody".to_owned() } else { clients.join(", ") };
    format!(
        "{} version {} is born: {} of {} nodes use it; granted to {clients}",
        create.name,
        create.version,
        create.committee.threshold(),
        create.committee.size(),
    )
}

/// Names of keys.
///
/// # Errors
/// When no coordinator answers.
pub async fn list(global: &Global, args: &KeyList) -> Result<Report, Failure> {
    let tag = |text: &String| {
        let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Failure::usage(format!("--tag is NAME=VALUE, got {text}")))
    };
    let wanted = KeyFilter {
        prefix: args.prefix.clone(),
        state: args.state.map(|word| word.as_str().to_owned()),
        purpose: args.purpose.map(|purpose| purpose.as_str().to_owned()),
        tags: args.tag.iter().map(tag).collect::<Result<_, _>>()?,
    };
    let limit = args.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let operator = session::operator(global)?;
    let (keys, more) = operator.keys_where(&wanted, &args.after, limit).await?;
    if let Some(after) = &more {
        eprintln!("there may be more: --after {after}");
    }
    let mut rows =
        vec![["KEY", "VERSION", "SUITE", "NODES", "EPOCH", "STATE"].map(String::from).to_vec()];
    rows.extend(keys.iter().map(|k| {
        vec![
            k.name.clone(),
            k.version.to_string(),
            k.suite.clone(),
            format!("{} of {}", k.threshold, k.committee.len()),
            k.epoch.to_string(),
            state(k),
        ]
    }));
    let tags = |k: &KeySummary| -> serde_json::Map<String, Value> {
        k.tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    let older = |k: &KeySummary| k.older.iter().map(|v| v.version).collect::<Vec<_>>();
    let json = json!(
        keys.iter()
            .map(|k| json!({
                "name": k.name, "version": k.version, "suite": k.suite, "purpose": k.purpose,
                "threshold": k.threshold, "committee": k.committee, "state": k.word(),
                "epoch": k.epoch, "older": older(k), "tags": tags(k), "aliases": k.aliases,
                "deletion": k.deletion,
                "imported": k.imported, "exported": k.exported,
            }))
            .collect::<Vec<_>>()
    );
    Ok(Report::new(if keys.is_empty() { "no keys".into() } else { table(&rows) }, json))
}

/// With what a key had, or has, outside of the nodes.
fn state(key: &KeySummary) -> String {
    let marks = [(key.imported, ", imported"), (key.exported, ", EXPORTED")];
    marks.iter().filter(|(is, _)| *is).fold(key.word().to_owned(), |text, (_, mark)| text + mark)
}

/// What is proven about a key; or its public key alone, as other programs read it (`None`: it is
/// written already).
///
/// # Errors
/// When it does not verify, or nobody answers; for the public key alone of one that does not sign.
pub async fn show(global: &Global, args: &KeyShow) -> Result<Option<Report>, Failure> {
    let client = session::client(global)?;
    let key = match args.version {
        None => client.key(&args.name).await?,
        Some(version) => {
            let version =
                KeyVersion::new(version).ok_or_else(|| Failure::usage("versions begin at 1"))?;
            client.key_version(&args.name, version).await?
        }
    };
    let form: Option<fn(&Key) -> Vec<u8>> = match args {
        KeyShow { pem: true, .. } => Some(|k| spki::pem(k.public().public_key()).into_bytes()),
        KeyShow { ssh: true, .. } => Some(|k| {
            let line = ssh::public_line(k.public().public_key(), k.name().as_str());
            format!("{line}\n").into_bytes()
        }),
        KeyShow { minisign: true, .. } => {
            Some(|k| minisign::public_file(k.public().public_key()).into_bytes())
        }
        KeyShow { raw: true, .. } => Some(|k| k.public().public_key().to_vec()),
        _ => None,
    };
    if let Some(form) = form {
        if key.public().purpose != Purpose::Sign {
            let (name, suite) = (key.name(), key.public().suite);
            return Err(Failure::new(format!(
                "the public key of {name} is none of Ed25519: its suite is {suite}"
            )));
        }
        std::io::stdout().write_all(&form(&key)).map_err(|e| Failure::io("stdout", &e))?;
        return Ok(None);
    }
    let (mut lines, mut json) = describe(&client.cluster(), key.verified(), key.epoch());
    let state = match client.key_state(key.name().as_str()).await {
        Ok(state) => Some(state),
        // What is pinned is shown without anybody; how the key is, nodes must say.
        Err(error @ Error::Party { .. }) => {
            eprintln!("nobody says how the key is: {error}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(state) = &state {
        let (more, json_of) = shown(state, client.cluster().roster());
        lines.extend(more);
        json["state"] = json_of;
    }
    let all = match (client.versions(&key).await, args.version) {
        // A version that is pinned is shown without anybody; those before it, nodes must bring.
        (Err(error @ Error::Party { .. }), Some(_)) => {
            eprintln!(
                "nobody brings the versions before: rights are as its own order says: {error}"
            );
            vec![key.clone()]
        }
        (all, _) => all?,
    };
    let (more, json_of) = rights::shown(&all);
    lines.extend(more);
    json["rights"] = json_of;
    if args.version.is_some() {
        return Ok(Some(Report::new(lines.join("\n"), json)));
    }
    let mut versions = Vec::new();
    for version in &all {
        let epoch = version.public().epoch.number;
        let disabled = state.as_ref().is_some_and(|s| s.state.disabled.has(version.version()));
        let state = match version.version() == key.version() {
            _ if disabled => "disabled",
            true => "newest",
            false => "older",
        };
        let imported = version.verified().order().import().is_some();
        if key.version().get() > 1 {
            let (number, right) = (version.version(), rights::mark(version));
            let mark = if imported { " IMPORTED" } else { "" };
            lines.push(format!("version     {number} epoch {epoch} {state}{mark}{right}"));
        }
        versions.push(json!({
            "version": version.version().get(), "epoch": epoch, "state": state,
            "imported": imported,
            "exportable": version.ordered().rights.exportable,
            "quick_deletion": version.ordered().rights.quick_deletion,
            "public_key": hex::encode(version.public().public_key()),
        }));
    }
    json["versions"] = json!(versions);
    if let Some((lines_of, json_of)) = schedule_rotation::of_key(global, &key).await {
        lines.extend(lines_of);
        json["schedule"] = json_of;
    }
    let imported = imported_versions(&all);
    let older = imported.iter().filter(|v| **v != key.version());
    lines.extend(older.map(|v| imported_line(&key, *v)));
    json["imported"] = json!(!imported.is_empty());
    let (exports, orders) = export::history(&client, &all).await;
    lines.extend(exports);
    json["exports"] = orders;
    Ok(Some(Report::new(lines.join("\n"), json)))
}

/// Who holds a key.
///
/// # Errors
/// As [`show`].
pub async fn who_owns(global: &Global, name: &str) -> Result<Report, Failure> {
    let client = session::client(global)?;
    let key = client.key(name).await?;
    let cluster = client.cluster();
    let (mut lines, mut json) = render::ownership(cluster.roster(), &key.public().committee);
    // Of any version: what an older one has made is still opened with it.
    let all = client.versions(&key).await?;
    let imported = imported_versions(&all);
    let (exports, orders) = export::history(&client, &all).await;
    lines.insert(
        0,
        match (imported.is_empty(), exports.is_empty()) {
            (true, true) => format!("Nobody alone owns {}.", key.name()),
            _ => {
                format!("Whoever has {} outside of its nodes can use it alone, unseen:", key.name())
            }
        },
    );
    let outside = exports.into_iter().chain(imported.iter().map(|v| imported_line(&key, *v)));
    outside.for_each(|line| lines.insert(1, line));
    json["imported"] = json!(!imported.is_empty());
    json["exports"] = orders;
    json["key"] = json!(key.name().as_str());
    Ok(Report::new(lines.join("\n"), json))
}

fn imported_versions(all: &[Key]) -> Vec<KeyVersion> {
    let imported = all.iter().filter(|k| k.verified().order().import().is_some());
    imported.map(Key::version).collect()
}

/// Which version is said where there are others.
fn imported_line(newest: &Key, version: KeyVersion) -> String {
    match newest.version().get() {
        1 => IMPORTED.to_owned(),
        _ => format!("{IMPORTED} (version {version})"),
    }
}

pub(super) fn describe(
    cluster: &Cluster,
    key: &VerifiedKey,
    epoch: &VerifiedEpoch,
) -> (Vec<String>, Value) {
    let (create, public, roster) = (key.create(), epoch.public(), cluster.roster());
    let (committee, terms) = (&public.committee, epoch.terms());
    let actives = epoch.record().actives.len();
    let hex = |bytes: &[u8]| hex::encode(bytes);
    let mut lines = vec![
        format!("key         {} version {}", create.name, create.version),
        format!("suite       {} (to {})", create.suite, create.purpose),
        format!("threshold   {} of {}", committee.threshold(), committee.size()),
        format!("public key  {}", hex(public.public_key())),
        format!("epoch       {}", public.epoch),
        format!(
            "order       {} of {}",
            key.order().hash().short(),
            render::time(key.order().order().issued_at)
        ),
    ];
    if let Some(import) = key.order().import() {
        lines.push(IMPORTED.to_owned());
        lines.push(format!("dealt by    {}", import.dealer));
    }
    if epoch.order() != key.order() {
        lines.push(format!(
            "moved       by order {} of {}",
            epoch.order().hash().short(),
            render::time(epoch.order().order().issued_at)
        ));
    }
    lines.push(format!("signed      active by {actives} nodes ({} needed)", terms.q));
    lines.extend(committee.indices().map(|i| format!("node        {}", render::node(roster, i))));
    lines.extend(
        create
            .grants
            .iter()
            .map(|g| format!("client      {} until {}", g.name, render::time(g.expires_at))),
    );
    let json = json!({
        "name": create.name.as_str(),
        "version": create.version.get(),
        "suite": create.suite.as_str(),
        "purpose": create.purpose.as_str(),
        "threshold": committee.threshold().get(),
        "committee": committee.indices().map(quorate_types::NodeIndex::get).collect::<Vec<_>>(),
        "public_key": hex(public.public_key()),
        "epoch": { "number": public.epoch.number, "bundle": public.epoch.bundle.to_string() },
        "imported": key.order().import().is_some(),
        "order": key.order().hash().to_string(),
        "epoch_order": epoch.order().hash().to_string(),
        "active_signatures": actives,
        "q": terms.q,
        "grants": create.grants.iter().map(|g| json!({
            "name": g.name.as_str(), "key": g.client.to_string(), "expires_at": g.expires_at.0,
        })).collect::<Vec<_>>(),
    });
    (lines, json)
}

/// Said of an imported key for ever.
const IMPORTED: &str = "IMPORTED    its owner had it before, and may have it still";
