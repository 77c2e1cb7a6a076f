//! Exports: the recipient's side, and what is known of exports that were.

use crate::{
    client::{Client, nobody},
    error::{Error, NodeRef},
    key::Key,
    operator::Operator,
};
use quorate_crypto::{
    RecipientKey, SecretScalar,
    sharing::{CombineError, CommitmentsError, reconstruct},
};
use quorate_rpc::Deadline;
use quorate_types::{
    Cluster, Format, NodeIndex, SealedShare, SignedOrder, VerifiedEpoch, VerifiedOrder,
    export::MAX_EXPORTS,
};
use std::{collections::BTreeMap, time::Duration};
use thiserror::Error;

/// How long nodes may take to seal their shares.
const SEALING: Duration = Duration::from_secs(20);

/// Sealed shares as they came, and who gave none.
#[derive(Clone, Debug, Default)]
pub struct SealedShares {
    /// Canonical, not verified.
    pub shares: Vec<SealedShare>,
    /// Nodes that gave none, and why.
    pub failures: Vec<(u32, String)>,
}

/// A key that was put together from its shares. Wiped on drop, never printed.
#[derive(Debug)]
pub struct Combined {
    /// The key: a scalar, also of an Ed25519 key, whose seed no share remembers.
    pub secret: SecretScalar,
    /// Whose shares it was put together from.
    pub used: Vec<NodeIndex>,
    /// Shares that were left out.
    pub left_out: Vec<LeftOut>,
}

/// A share that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Whose it says it is.
    pub node: NodeIndex,
    /// Why.
    pub reason: Reason,
}

/// Why a share is left out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The node has signed that this is its share, and it is not.
    #[error("WRONG SHARE, signed by the node: {0}")]
    Wrong(String),
    /// Nobody is to blame but whoever brought it.
    #[error("{0}")]
    NotUsed(&'static str),
}

/// Why a key is not put together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CombineFailure {
    /// The order opens no export.
    #[error("the order exports no key")]
    Action,
    /// Sealed to another key than the one at hand.
    #[error("the order names another recipient: this private key's public half is {0}")]
    Recipient(String),
    /// The order is about another key than the epoch.
    #[error("the order is about another key or version")]
    Key,
    /// Too few.
    #[error("{got} right shares of epoch {epoch} are here, {needed} are needed")]
    TooFew {
        /// Right ones.
        got: usize,
        /// `t`.
        needed: usize,
        /// Of this epoch.
        epoch: u64,
        /// Those that were left out.
        left_out: Vec<LeftOut>,
    },
    /// Ours: a verified epoch whose commitments do not decode.
    #[error(transparent)]
    Commitments(#[from] CommitmentsError),
    /// Ours.
    #[error(transparent)]
    Combine(#[from] CombineError),
}

/// Opens shares and puts the key together, from those that lie on the committed polynomial of the
/// epoch. Shares of other epochs are left out: they would give another key.
///
/// # Errors
/// [`CombineFailure`].
pub fn combine(
    order: &VerifiedOrder,
    epoch: &VerifiedEpoch,
    shares: &[SealedShare],
    recipient: &RecipientKey,
) -> Result<Combined, CombineFailure> {
    let export = order.export().ok_or(CombineFailure::Action)?;
    let to = export.recipient().ok_or(CombineFailure::Action)?;
    if *to != recipient.public() {
        return Err(CombineFailure::Recipient(hex(&recipient.public())));
    }
    let public = epoch.public();
    if (&export.name, export.version) != (&public.key, public.version) {
        return Err(CombineFailure::Key);
    }
    let commitments = public.decode_commitments()?;
    let mut right: BTreeMap<NodeIndex, SecretScalar> = BTreeMap::new();
    let mut left_out = Vec::new();
    for sealed in shares {
        let node = sealed.scope.node;
        if right.contains_key(&node) {
            continue;
        }
        let opened = belongs(sealed, order, epoch).map_err(Reason::NotUsed).and_then(|()| {
            let share = sealed.open(recipient).map_err(|e| Reason::Wrong(e.to_string()))?;
            match commitments.verify_share(node, &share) {
                true => Ok(share),
                false => Err(Reason::Wrong("it is not on the committed polynomial".into())),
            }
        });
        match opened {
            Ok(share) => drop(right.insert(node, share)),
            Err(reason) => left_out.push(LeftOut { node, reason }),
        }
    }
    let (needed, got) = (public.committee.threshold().as_usize(), right.len());
    if got < needed {
        let epoch = public.epoch.number;
        return Err(CombineFailure::TooFew { got, needed, epoch, left_out });
    }
    let used: Vec<NodeIndex> = right.keys().copied().take(needed).collect();
    let right: Vec<(NodeIndex, SecretScalar)> = right.into_iter().collect();
    let secret = reconstruct(&commitments, &right)?;
    Ok(Combined { secret, used, left_out })
}

/// Whether a share says that it is of this export and epoch, and its node has signed that.
fn belongs(
    sealed: &SealedShare,
    order: &VerifiedOrder,
    epoch: &VerifiedEpoch,
) -> Result<(), &'static str> {
    let (scope, public) = (&sealed.scope, epoch.public());
    let member = public.committee.member(scope.node).ok_or("the node is not in the committee")?;
    if !sealed.verifies(&member.identity) {
        return Err("its node has not signed it: it was made up, or changed on the way");
    }
    if scope.fingerprint != public.fingerprint
        || (&scope.key, scope.version) != (&public.key, public.version)
        || scope.order != order.hash()
        || order.export().and_then(|e| e.recipient()) != Some(&scope.recipient)
    {
        return Err("it is of another export");
    }
    if scope.epoch != public.epoch {
        return Err("it is of another epoch than the one in force");
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Operator {
    /// The nodes' shares of an export, each sealed to the recipient that its order names: what all
    /// parties bring together, so that none of them can keep shares back.
    ///
    /// # Errors
    /// [`Error::Order`] if it does not stand; [`Error::Party`].
    pub async fn sealed_shares(&self, order: &SignedOrder) -> Result<SealedShares, Error> {
        self.client().0.ask_roster_once().await?;
        VerifiedOrder::verify(&self.cluster(), order)?;
        let (mut all, mut worst) = (None::<SealedShares>, None);
        for party in self.parties() {
            match party.export(order, Deadline::after(SEALING)).await {
                Ok(brought) => {
                    let all = all.get_or_insert_default();
                    let new = brought.shares.into_iter().filter(|s| !all.shares.contains(s));
                    let new: Vec<SealedShare> = new.collect();
                    all.shares.extend(new);
                    all.failures = brought.failures;
                }
                Err(fault) => {
                    worst = Some(crate::client::heavier(worst, Error::party(&party.party, fault)));
                }
            }
        }
        let mut all = all.ok_or_else(|| worst.unwrap_or_else(nobody))?;
        let has = |node: u32| all.shares.iter().any(|s| u32::from(s.scope.node.get()) == node);
        let missing: Vec<_> =
            all.failures.iter().filter(|(node, _)| !has(*node)).cloned().collect();
        all.failures = missing;
        Ok(all)
    }
}

impl Client {
    /// The orders that exported a key version, ever, by time: from everybody who can be asked, so
    /// that it takes all of them to keep silent about one.
    ///
    /// # Errors
    /// [`Error::Party`] if nobody can be asked.
    pub async fn exports(&self, key: &Key) -> Result<Vec<VerifiedOrder>, Error> {
        let (mut orders, mut asked, mut worst) = (BTreeMap::new(), false, None);
        for (_, transport) in self.0.in_order() {
            let deadline = Deadline::after(self.0.timeout);
            let records =
                transport.key(key.name().clone(), Some(key.version()), true, deadline).await;
            match records {
                Ok(records) => {
                    asked = true;
                    for bytes in records.iter().flat_map(|r| r.exports.iter().take(MAX_EXPORTS)) {
                        if let Some(order) = of_key(&self.cluster(), bytes, key) {
                            orders.insert((order.order().issued_at, order.hash()), order);
                        }
                    }
                }
                Err(fault) => {
                    let error = Error::party(&transport.party(), fault);
                    worst = Some(crate::client::heavier(worst, error));
                }
            }
        }
        match asked {
            true => Ok(orders.into_values().collect()),
            false => Err(worst.unwrap_or_else(nobody)),
        }
    }
}

/// Nobody can make one up: what does not verify is passed over.
fn of_key(cluster: &Cluster, bytes: &[u8], key: &Key) -> Option<VerifiedOrder> {
    let order = VerifiedOrder::verify(cluster, &SignedOrder::from_bytes(bytes).ok()?).ok()?;
    let export = order.export().filter(|export| export.recipient().is_some())?;
    ((&export.name, export.version) == (key.name(), key.version())).then_some(order)
}

/// Who left a wrong share, for people.
#[must_use]
pub fn liars(cluster: &Cluster, left_out: &[LeftOut]) -> Vec<NodeRef> {
    let wrong = left_out.iter().filter(|l| matches!(l.reason, Reason::Wrong(_)));
    wrong.map(|l| NodeRef::of(cluster.roster(), l.node)).collect()
}
