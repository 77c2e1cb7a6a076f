//! Chains of orders: each order names the one before it (DESIGN §4.5).

use quorate_types::{
    Cluster, Hash, Millis, OrderError, Purpose, RotateKey, SignedOrder, Suite, Terms, VerifiedOrder,
};
use thiserror::Error;

/// Why an order is not the next one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainFault {
    /// An earlier or later link is refused.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A later order of the chain is known here.
    #[error(
        "a newer order of this chain is known here ({head}), and only the newest counts: see \
         `quorate order list`, and order again what it does not do"
    )]
    Superseded {
        /// The newest known here.
        head: Hash,
    },
    /// Orders between are missing here.
    #[error("this node has missed orders before this one; send them along")]
    Gap,
    /// Two orders with one predecessor: operators have signed both.
    #[error("two orders follow the same one: {first} was first here, {second} is refused")]
    Forked {
        /// The first, which stays.
        first: Hash,
        /// The second.
        second: Hash,
    },
    /// It does not continue what came before.
    #[error("the order does not continue its chain: {0}")]
    Sequence(String),
}

/// Where an order stands beside the newest one known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It is that one.
    Known,
    /// It comes right after it.
    Next,
}

/// The newest orders known that an order is compared with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heads<'a> {
    /// Of its own chain.
    pub head: Option<&'a VerifiedOrder>,
    /// Of the key's other chain: orders about a key and about the schedule of its versions stand
    /// side by side, so that neither kind is in the way of the other.
    pub beside: Option<&'a VerifiedOrder>,
}

impl<'a> Heads<'a> {
    /// With a later order of the chain, if there is one.
    fn after(self, later: Option<&'a VerifiedOrder>) -> Self {
        Self { head: later.or(self.head), ..self }
    }
}

/// Compares an order with the newest known one of its chain.
///
/// # Errors
/// [`ChainFault`].
pub fn follow(heads: Heads<'_>, order: &VerifiedOrder) -> Result<Follow, ChainFault> {
    let predecessor = order.order().predecessor;
    let Some(head) = heads.head else {
        if predecessor != Hash::default() {
            return Err(ChainFault::Gap);
        }
        sequence(heads, order)?;
        return Ok(Follow::Next);
    };
    if order.hash() == head.hash() {
        Ok(Follow::Known)
    } else if predecessor == head.hash() {
        sequence(heads, order)?;
        Ok(Follow::Next)
    } else if predecessor == head.order().predecessor {
        Err(ChainFault::Forked { first: head.hash(), second: order.hash() })
    } else if head.order().predecessor == order.hash() {
        Err(ChainFault::Superseded { head: head.hash() })
    } else {
        Err(ChainFault::Gap)
    }
}

/// The orders to apply so that `order` is the newest of its chain, oldest first; none if
/// it is so already. `earlier` may hold orders that are known here, or that lead nowhere.
///
/// Only `order` itself must be fresh: it names the earlier ones by hash, so that its
/// signers have signed those too.
///
/// # Errors
/// [`ChainFault`].
pub fn advance(
    cluster: &Cluster,
    heads: Heads<'_>,
    earlier: &[SignedOrder],
    order: &VerifiedOrder,
    now: Millis,
) -> Result<Vec<VerifiedOrder>, ChainFault> {
    let mut applied: Vec<VerifiedOrder> = Vec::new();
    for signed in earlier {
        let link = VerifiedOrder::verify(cluster, signed)?;
        if link.order().chain() != order.order().chain() {
            return Err(ChainFault::Sequence("an earlier order is of another chain".into()));
        }
        // One that is older than what is known here is passed over.
        if let Ok(Follow::Next) = follow(heads.after(applied.last()), &link) {
            applied.push(link);
        }
    }
    match follow(heads.after(applied.last()), order)? {
        Follow::Known => {}
        Follow::Next => {
            order.check_fresh(now)?;
            applied.push(order.clone());
        }
    }
    Ok(applied)
}

/// The same for a node that joins a key's committee: it knows no order of the key, and the
/// birth certificate, which came along, stands for what came before. An older order than
/// the newest can fool it, but not those who know the chain, without whom no epoch comes
/// into force.
///
/// # Errors
/// [`ChainFault`].
pub fn join(order: &VerifiedOrder, now: Millis) -> Result<Vec<VerifiedOrder>, ChainFault> {
    order.check_fresh(now)?;
    Ok(vec![order.clone()])
}

/// What an order must state after the one before: versions and numbers go up.
fn sequence(heads: Heads<'_>, order: &VerifiedOrder) -> Result<(), ChainFault> {
    // Each was ordered under the newest roster of its time. Operators who have left since the head
    // was signed could continue it at a node that was not there then.
    if let Some(head) = heads.head.map(|h| h.order().roster_version)
        && order.order().roster_version < head
    {
        let got = order.order().roster_version;
        return fault(format!(
            "the order before it is of roster version {head}, it names version {got}"
        ));
    }
    if let Some(rotate) = order.rotation() {
        return scheduled(heads, rotate);
    }
    let Some(terms) = order.terms() else { return Ok(()) };
    let Some(before) = heads.head.and_then(VerifiedOrder::terms) else {
        return match (terms.is_birth(), terms.version.get()) {
            (true, 1) => Ok(()),
            (true, got) => fault(format!("the first version of a key is 1, got {got}")),
            (false, _) => fault("no key has been made whose shares could move".into()),
        };
    };
    // Versions up to `most` may have been born by themselves, which this chain does not show.
    let (old, new) = (before.newest.get(), terms.newest.get());
    let most = heads.beside.and_then(VerifiedOrder::rotation).map_or(0, RotateKey::last).max(old);
    let next = most.saturating_add(1);
    if terms.is_birth() && !(old..=next).contains(&new) {
        return fault(match most == old {
            true => format!("after version {old} comes {old} again or the next, got {new}"),
            false => format!(
                "after version {old} and a schedule up to {most} comes {old} to {next}, got {new}"
            ),
        });
    }
    // A key has one suite and one purpose for good.
    if terms.is_birth() && new > old {
        same_kind((terms.suite, terms.purpose), &before)?;
    }
    if !terms.is_birth() && !(old..=most).contains(&new) {
        return fault(match most == old {
            true => format!("the newest version of the key is {old}, the order says {new}"),
            false => {
                format!("the newest version of the key is {old} to {most}, the order says {new}")
            }
        });
    }
    above(terms.first_number, *before.numbers().end())
}

/// The same for a schedule of versions, or its end. What the key's own chain may state goes up to
/// the last version of the schedule, so that one never goes back: a node that hears of the two
/// chains in another sequence takes the same orders.
fn scheduled(heads: Heads<'_>, rotate: &RotateKey) -> Result<(), ChainFault> {
    let Some(key) = heads.beside.and_then(VerifiedOrder::terms) else {
        return Err(ChainFault::Gap);
    };
    same_kind((rotate.create.suite, rotate.create.purpose), &key)?;
    let before = heads.head.and_then(VerifiedOrder::rotation);
    let (first, last) = (rotate.create.version.get(), before.map_or(0, RotateKey::last));
    let next = key.newest.get().max(last).saturating_add(1);
    if first > next {
        return fault(format!(
            "a schedule of versions begins at {next} at the latest, got {first}"
        ));
    }
    if rotate.last() < last {
        let got = rotate.last();
        return fault(format!(
            "a schedule of versions up to {last} was given before, and this one ends at {got}: let \
             its time end earlier, not its versions"
        ));
    }
    match before {
        Some(before) => above(rotate.create.first_number, before.last_number()),
        None => Ok(()),
    }
}

fn same_kind((suite, purpose): (Suite, Purpose), key: &Terms<'_>) -> Result<(), ChainFault> {
    if (suite, purpose) == (key.suite, key.purpose) {
        return Ok(());
    }
    fault(format!(
        "a new version is of the key's suite and purpose, {} to {}",
        key.suite, key.purpose
    ))
}

fn above(first_number: u64, last: u64) -> Result<(), ChainFault> {
    if first_number > last {
        return Ok(());
    }
    fault(format!(
        "epoch numbers up to {last} belong to earlier orders; begin above, got {first_number}"
    ))
}

fn fault(text: String) -> Result<(), ChainFault> {
    Err(ChainFault::Sequence(text))
}
