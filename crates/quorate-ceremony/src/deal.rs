//! Step 2 at a node: deal, once.

use crate::{
    Fault, Plan, PrepareList,
    bundle::dealing_params,
    current,
    message::{DealRequest, SignedDealing},
    state::{Attempt, Change, Dealt, SecretKind, VersionState},
    step::{Done, Me},
};
use quorate_crypto::{dealing, sharing::Polynomial};
use quorate_types::{CeremonyStep, VerifiedEpoch};
use rand_core::CryptoRng;

pub(crate) fn deal(
    me: &Me<'_>,
    state: &VersionState,
    request: &DealRequest,
    rng: &mut impl CryptoRng,
) -> Result<Done, Fault> {
    let subject = &request.subject;
    current::above(state, subject.number)?;
    let prepared = state.attempt.as_ref().map(Attempt::prepared);
    current::own_answer(me, subject, &request.answers, prepared)?;
    let Some(attempt) = &state.attempt else {
        return Err(Fault::TooEarly { missing: "prepare" });
    };
    let plan = current::plan(me, state, subject, state.in_force())?;

    // Once dealt, a dealer sends what it dealt. Under another list it would have to deal
    // the same polynomial again, to keys that it did not deal to.
    let again = plan.parent().is_some() && planted!(DealTwice);
    if let Some(dealt) = attempt.dealt()
        && !(again && dealt.dealers != request.dealers)
    {
        if dealt.answers != request.answers || dealt.dealers != request.dealers {
            let equivocators = current::equivocators(&plan, &dealt.answers, &request.answers);
            return Err(Fault::NumberUsed { number: subject.number, equivocators });
        }
        let dealing = dealt.dealing.as_ref().ok_or(Fault::NotDealer)?;
        return Ok(Done::new(me, CeremonyStep::Deal, subject, Vec::new(), dealing));
    }
    let parent = plan.parent().map(VerifiedEpoch::name);
    if !state.standing.descends(subject.number, parent) {
        return Err(Fault::Closed);
    }
    current::newest(me, state, &plan)?;
    let mut standing = state.standing.clone();
    if !standing.deal(subject.number) {
        return Err(Fault::Closed);
    }
    let list = PrepareList::verify(&plan, request.answers.clone(), request.dealers.clone())?;
    if !list.dealers().contains(&me.index) {
        return Err(Fault::NotDealer);
    }

    let polynomial = polynomial(state, &plan, rng)?;
    #[cfg(feature = "planted-bugs")]
    let polynomial = crate::planted::weighted(polynomial, state, &plan, &list, me.index, rng);
    let identity = me.identity.public();
    let params = dealing_params(&plan, &list, me.index, identity.as_bytes())
        .map_err(|_| Fault::Alarm("a verified list has no dealing"))?;
    let dealing = dealing::deal(&params, &polynomial, rng)
        .map_err(|_| Fault::Alarm("the stored polynomial does not deal"))?;
    let signed =
        SignedDealing::sign(plan.fingerprint(), list.ctx(), me.index, &dealing, me.identity);

    let dealt = Dealt {
        prepared: attempt.prepared().clone(),
        answers: request.answers.clone(),
        dealers: request.dealers.clone(),
        dealing: Some(signed.clone()),
    };
    // A crash after this: the dealing is there to be sent, the polynomial is not needed.
    let mut persist = vec![
        Change::Standing(Box::new(standing)),
        Change::Attempt(subject.number, Box::new(Attempt::ExpectBundle(Box::new(dealt)))),
        Change::Drop(subject.number, SecretKind::Polynomial),
    ];
    if planted!(ForgetCeremonyKeyEarly) {
        persist.push(Change::Drop(subject.number, SecretKind::CeremonyKey));
    }
    Ok(Done::new(me, CeremonyStep::Deal, subject, persist, &signed))
}

/// What is dealt: in a genesis what the node has committed to; in a reshare a fresh
/// polynomial over its share. A crash before the dealing is kept deals another one, which
/// nobody has seen; after it, that one is sent again.
fn polynomial(
    state: &VersionState,
    plan: &Plan,
    rng: &mut impl CryptoRng,
) -> Result<Polynomial, Fault> {
    let threshold = plan.committee().threshold();
    if plan.parent().is_some() {
        let share = state.share_in_force.as_ref().ok_or(Fault::SecretMissing("share"))?;
        return Polynomial::random(threshold, share, rng)
            .map_err(|_| Fault::Alarm("a share of zero cannot be dealt"));
    }
    let bytes = state.secrets.polynomial.as_ref().ok_or(Fault::SecretMissing("polynomial"))?;
    Polynomial::from_bytes(threshold, bytes)
        .map_err(|_| Fault::Alarm("the stored polynomial does not decode"))
}
