//! Orders, built from what a command line says and what the cluster is.

use crate::{args::KeyCreate, failure::Failure};
use quorate_client::Heads;
use quorate_crypto::PublicKey;
use quorate_types::{
    Action, Cluster, Committee, CreateKey, Format, Grant, Hash, KeyName, KeyVersion, Member,
    Millis, NodeIndex, Order, PartyName, Rights, Roster, RotateKey, Suite, VerifiedOrder,
    order::check_rules,
};
use rand::Rng;

/// A client that the cluster knows.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// Its name.
    pub name: PartyName,
    /// Its identity.
    pub key: PublicKey,
}

/// The nodes with these indices, all if none is named, as a committee.
///
/// # Errors
/// For an index that the roster does not have, and for a threshold that does not fit.
pub fn committee(roster: &Roster, indices: &[u16], threshold: u16) -> Result<Committee, Failure> {
    let all: Vec<u16> = roster.nodes.iter().map(|n| n.index.get()).collect();
    let chosen = if indices.is_empty() { &all } else { indices };
    let member = |index: &u16| {
        let node = NodeIndex::new(*index).ok().and_then(|i| roster.node(i)).ok_or_else(|| {
            Failure::usage(format!("node {index} is not in the roster; it has {all:?}"))
        })?;
        Ok(Member { index: node.index, identity: node.identity })
    };
    let members = chosen.iter().map(member).collect::<Result<Vec<_>, Failure>>()?;
    Committee::new(members, threshold).map_err(Failure::usage)
}

/// The first epoch number that a new order for a key may allow: above the ranges of the orders
/// at the heads of its two chains.
#[must_use]
pub fn first_number(heads: &Heads) -> u64 {
    let terms = heads.key_order.as_ref().and_then(VerifiedOrder::terms);
    let scheduled = heads.rotation_order.as_ref().and_then(VerifiedOrder::rotation);
    let last = terms.map_or(0, |terms| *terms.numbers().end());
    last.max(scheduled.map_or(0, RotateKey::last_number)).saturating_add(1)
}

/// `q` of a committee of which so many may be absent.
///
/// # Errors
/// For more than the committee allows.
pub fn q(committee: &Committee, allow_absent: u16) -> Result<u16, Failure> {
    let n = u16::try_from(committee.size()).map_err(Failure::usage)?;
    let least = committee.least_q();
    n.checked_sub(allow_absent).filter(|q| *q >= least).ok_or_else(|| {
        let (most, t) = (n - least, committee.threshold());
        Failure::usage(format!("--allow-absent is at most {most} for {t} of {n}"))
    })
}

/// What `key create` orders.
///
/// # Errors
/// For names, nodes and clients that do not exist, and numbers that do not fit.
pub fn create_key(
    roster: &Roster,
    args: &KeyCreate,
    default_threshold: Option<u16>,
    known: &[KnownClient],
    first_number: u64,
    now: Millis,
) -> Result<CreateKey, Failure> {
    let threshold = args.threshold.or(default_threshold).ok_or_else(|| {
        Failure::usage("say --threshold T (or set `threshold` in the home's quorate.toml)")
    })?;
    let committee = committee(roster, &args.committee, threshold)?;
    let q = q(&committee, args.allow_absent)?;
    let version =
        KeyVersion::new(args.version).ok_or_else(|| Failure::usage("--version begins at 1"))?;
    let purpose = args.suite.map_or(args.purpose, Suite::purpose);
    Ok(CreateKey {
        name: KeyName::new(&args.name).map_err(Failure::usage)?,
        version,
        suite: purpose.suite(),
        purpose,
        committee,
        q,
        first_number,
        grants: grants(known, &args.client, now.plus(args.grant_days * Millis::DAY))?,
        danger_concentrated: args.danger_concentrated,
        acknowledge_fragile: args.acknowledge_fragile,
        rights: Rights { exportable: args.exportable, quick_deletion: args.quick_deletion },
    })
}

/// Grants for the clients of these names, all if none is named.
///
/// # Errors
/// For a client that is not known.
pub fn grants(
    known: &[KnownClient],
    wanted: &[String],
    expires_at: Millis,
) -> Result<Vec<Grant>, Failure> {
    if let Some(stranger) = wanted.iter().find(|w| known.iter().all(|k| k.name.as_str() != **w)) {
        let names: Vec<&str> = known.iter().map(|k| k.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "no client {stranger} is known; known: {}. Add it with `quorate client add`",
            names.join(", ")
        )));
    }
    let mut grants: Vec<Grant> = (known.iter())
        .filter(|k| wanted.is_empty() || wanted.iter().any(|w| *w == k.name.as_str()))
        .map(|k| Grant { client: k.key, name: k.name.clone(), expires_at })
        .collect();
    grants.sort_by_key(|g| g.client);
    Ok(grants)
}

/// An order for this cluster, with its rules checked before anybody signs it.
///
/// # Errors
/// When what it asks for breaks a rule; the message says which.
pub fn order(
    cluster: &Cluster,
    action: Action,
    predecessor: Hash,
    now: Millis,
    life_days: u64,
    rng: &mut impl Rng,
) -> Result<Order, Failure> {
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let order = Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: cluster.roster().version,
        roster_hash: cluster.roster_hash(),
        issued_at: now,
        expires_at: now.plus(life_days * Millis::DAY),
        nonce,
        predecessor,
        action,
    };
    check_rules(&order, cluster.roster()).map_err(Failure::usage)?;
    debug_assert_eq!(Order::from_bytes(&order.to_bytes()).as_ref(), Ok(&order));
    Ok(order)
}
