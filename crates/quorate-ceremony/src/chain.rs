//! Chains of orders: each order names the one before it (DESIGN §4.5).

use quorate_types::{Cluster, Hash, Millis, OrderError, SignedOrder, VerifiedOrder};
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

/// Compares an order with the newest known one of its chain.
///
/// # Errors
/// [`ChainFault`].
pub fn follow(head: Option<&VerifiedOrder>, order: &VerifiedOrder) -> Result<Follow, ChainFault> {
    let predecessor = order.order().predecessor;
    let Some(head) = head else {
        if predecessor != Hash::default() {
            return Err(ChainFault::Gap);
        }
        sequence(None, order)?;
        return Ok(Follow::Next);
    };
    if order.hash() == head.hash() {
        Ok(Follow::Known)
    } else if predecessor == head.hash() {
        sequence(Some(head), order)?;
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
    head: Option<&VerifiedOrder>,
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
        if let Ok(Follow::Next) = follow(applied.last().or(head), &link) {
            applied.push(link);
        }
    }
    match follow(applied.last().or(head), order)? {
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
fn sequence(head: Option<&VerifiedOrder>, order: &VerifiedOrder) -> Result<(), ChainFault> {
    let fault = |text: String| Err(ChainFault::Sequence(text));
    // Each was ordered under the newest roster of its time. Operators who have left since the head
    // was signed could continue it at a node that was not there then.
    if let Some(head) = head.map(|h| h.order().roster_version)
        && order.order().roster_version < head
    {
        let got = order.order().roster_version;
        return fault(format!(
            "the order before it is of roster version {head}, it names version {got}"
        ));
    }
    let Some(terms) = order.terms() else { return Ok(()) };
    let Some(before) = head.and_then(VerifiedOrder::terms) else {
        return match (terms.is_birth(), terms.version.get()) {
            (true, 1) => Ok(()),
            (true, got) => fault(format!("the first version of a key is 1, got {got}")),
            (false, _) => fault("no key has been made whose shares could move".into()),
        };
    };
    let (old, new) = (before.newest.get(), terms.newest.get());
    if terms.is_birth() && new != old && Some(new) != old.checked_add(1) {
        return fault(format!("after version {old} comes {old} again or the next, got {new}"));
    }
    // A key has one suite and one purpose for good.
    if terms.is_birth()
        && new > old
        && (terms.suite, terms.purpose) != (before.suite, before.purpose)
    {
        return fault(format!(
            "a new version is of the key's suite and purpose, {} to {}",
            before.suite, before.purpose
        ));
    }
    if !terms.is_birth() && new != old {
        return fault(format!("the newest version of the key is {old}, the order says {new}"));
    }
    let last = *before.numbers().end();
    if terms.first_number <= last {
        return fault(format!(
            "epoch numbers up to {last} belong to earlier orders; begin above, got {}",
            terms.first_number
        ));
    }
    Ok(())
}
