//! Bugs on purpose: they show that the simulator finds what it is there for. Each is a
//! switch at the line that it breaks (`planted!`). Compiled with the feature
//! `planted-bugs` only, which no other crate may ask for; a release build with it fails.

use crate::{Plan, PrepareList, VersionState};
use quorate_crypto::{
    MAX_COMMITTEE, SecretScalar, ShareIndex, Threshold,
    dealing::{Dealing, DealingParams, ParamsError},
    group::Element,
    sharing::{Polynomial, lagrange_at_zero},
};
use rand_core::CryptoRng;
use std::cell::Cell;

#[cfg(not(debug_assertions))]
compile_error!("planted bugs are for tests: never in a release build");

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Activation erases the parent, before any retire certificate.
    EraseBeforeRetire,
    /// After activation the parent is not served any more.
    ServeOnlyNew,
    /// Receipts of any bundles are counted together.
    MixReceipts,
    /// A second receipt for a number is signed for another bundle.
    SecondReceipt,
    /// The ceremony key is erased with the dealing, before the share is received.
    ForgetCeremonyKeyEarly,
    /// The ceremony keys of ended attempts stay.
    ForgetCeremonyKeyLate,
    /// A combiner takes each node's newest partial, whatever epoch it is of.
    MixEpochs,
    /// A dealing's number of commitments is what it says itself.
    SkipDegree,
    /// A dealer may deal anything.
    SkipConstant,
    /// Dealers weight their shares over those who offered, not over those who deal.
    WeightBeforeDealers,
    /// A parent below what is in force is prepared on and received from.
    ErasedParent,
    /// Pending shares outlive their parent.
    KeepOrphans,
    /// An epoch is its number, whatever its bundle.
    NumberAlone,
    /// Of two activated epochs above the parent only the newer is served.
    ServeNewestOfTwo,
    /// A complaint reveals the ceremony key.
    RevealCeremonyKey,
    /// The driver answers before its disk has flushed.
    AnswerBeforeFlush,
    /// Receipts alone bring an epoch into force.
    RetireWithoutActives,
    /// A node without the share signs active.
    ActiveWithoutShare,
    /// A dealer deals again under another list.
    DealTwice,
    /// Two public keys of one version are signed active.
    TwoKeys,
    /// A retire certificate erases higher epochs that were signed active.
    DropPromised,
    /// A repeated prepare makes another ceremony key.
    PrepareAgain,
    /// Attempts of superseded orders go on.
    SupersededOrder,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 23] = [
        Self::EraseBeforeRetire,
        Self::ServeOnlyNew,
        Self::MixReceipts,
        Self::SecondReceipt,
        Self::ForgetCeremonyKeyEarly,
        Self::ForgetCeremonyKeyLate,
        Self::MixEpochs,
        Self::SkipDegree,
        Self::SkipConstant,
        Self::WeightBeforeDealers,
        Self::ErasedParent,
        Self::KeepOrphans,
        Self::NumberAlone,
        Self::ServeNewestOfTwo,
        Self::RevealCeremonyKey,
        Self::AnswerBeforeFlush,
        Self::RetireWithoutActives,
        Self::ActiveWithoutShare,
        Self::DealTwice,
        Self::TwoKeys,
        Self::DropPromised,
        Self::PrepareAgain,
        Self::SupersededOrder,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Breaks this thread's code in one way, or in none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this thread's code is broken so.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// [`Bug::WeightBeforeDealers`]: a coefficient over all who offered to deal; else one.
pub(crate) fn weight(list: &PrepareList, dealer: ShareIndex) -> SecretScalar {
    let offers = list.answers().iter().filter(|a| a.commitment.is_some()).map(|a| a.node);
    let offers: Vec<_> = offers.filter(|_| is(Bug::WeightBeforeDealers)).collect();
    match (lagrange_at_zero(&offers), offers.iter().position(|o| *o == dealer)) {
        (Ok(lambda), Some(at)) => SecretScalar::new(lambda[at]),
        _ => SecretScalar::from_bytes(&ONE).expect("one is a canonical scalar"),
    }
}

/// The same for what a dealer's share is compared with.
pub(crate) fn weighted_key(key: Element, list: &PrepareList, dealer: ShareIndex) -> Element {
    let weight = weight(list, dealer);
    match key {
        Element::Ristretto(point) => Element::Ristretto(point * weight.expose()),
        Element::Edwards(point) => Element::Edwards(point * weight.expose()),
    }
}

/// The same for what is dealt.
pub(crate) fn weighted(
    polynomial: Polynomial,
    state: &VersionState,
    plan: &Plan,
    list: &PrepareList,
    dealer: ShareIndex,
    rng: &mut impl CryptoRng,
) -> Polynomial {
    let Some(share) = state.share_in_force.as_ref().filter(|_| plan.parent().is_some()) else {
        return polynomial;
    };
    if !is(Bug::WeightBeforeDealers) {
        return polynomial;
    }
    let constant = share.expose() * weight(list, dealer).expose();
    let threshold = plan.committee().threshold();
    Polynomial::random(threshold, &SecretScalar::new(constant), rng).unwrap_or(polynomial)
}

/// [`Bug::SkipDegree`]: the dealing says how many commitments there are to be.
pub(crate) fn degree<'a>(
    params: DealingParams<'a>,
    dealing: &Dealing,
) -> Result<DealingParams<'a>, ParamsError> {
    let got = u16::try_from(dealing.commitments().len()).ok();
    let threshold = got.and_then(|t| Threshold::new(t, MAX_COMMITTEE).ok());
    match threshold.filter(|_| is(Bug::SkipDegree)) {
        Some(t) => DealingParams::new(
            params.group(),
            *params.ctx(),
            params.dealer(),
            *params.dealer_identity(),
            t,
            params.receivers(),
        ),
        None => Ok(params),
    }
}

const ONE: [u8; 32] = {
    let mut one = [0; 32];
    one[0] = 1;
    one
};
