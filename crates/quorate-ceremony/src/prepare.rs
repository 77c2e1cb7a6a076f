//! Step 1 at a node: apply the order, make a ceremony key, commit to a polynomial.

use crate::{
    Fault, Plan,
    chain::advance,
    current,
    message::{PrepareAnswer, PrepareReply, PrepareRequest},
    state::{Attempt, Change, MAX_LIVE, SecretKind, Standing, VersionState},
    step::{Done, Me, Subject},
};
use quorate_crypto::{EncodedPoint, SecretScalar, dealing::commitment_hash, sharing::Polynomial};
use quorate_types::{CeremonyStep, Event, Millis, VerifiedOrder};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub(crate) fn prepare(
    me: &Me<'_>,
    subject: &Subject,
    state: &VersionState,
    request: &PrepareRequest,
    now: Millis,
    rng: &mut impl CryptoRng,
) -> Result<Done, Fault> {
    let order = VerifiedOrder::verify(me.cluster, &request.order)?;
    let plan = Plan::new(order, request.number)?;
    current::member(me, &plan)?;
    let done = |persist, reply: &PrepareReply| {
        Done::new(me, CeremonyStep::Prepare, subject, persist, reply)
    };

    // Once for each number: the same again, or not at all.
    if let Some(attempt) = &state.attempt {
        let answer = attempt.prepared();
        if answer.order != plan.order().hash() {
            let number = request.number;
            return Err(Fault::NumberUsed { number, equivocators: Vec::new() });
        }
        return Ok(done(Vec::new(), &PrepareReply::Prepared(answer.clone())));
    }
    if let Some(record) = &state.record {
        return Ok(done(Vec::new(), &PrepareReply::Born(Box::new(record.clone()))));
    }
    if let Some(active) = &state.standing.active {
        return Ok(done(Vec::new(), &PrepareReply::Certified(Box::new(active.clone()))));
    }

    current::roster(me, &plan)?;
    let head = match &state.head {
        Some(signed) => Some(VerifiedOrder::verify(me.cluster, signed)?),
        None => None,
    };
    let orders = advance(me.cluster, head.as_ref(), &request.earlier, plan.order(), now)?;
    let (mut persist, mut standing) = (Vec::new(), state.standing.clone());
    let mut events = Vec::new();
    for order in orders {
        events.push(Event::Order { order: order.hash() });
        persist.push(Change::Head(Box::new(order)));
    }
    if !persist.is_empty() {
        end_undealt(&mut standing, &mut persist);
    }
    if standing.live.len() >= MAX_LIVE {
        return Err(Fault::TooMany { max: MAX_LIVE });
    }

    let (answer, mut changes) = take_part(me, &plan, rng)?;
    standing.enliven(plan.number(), false);
    persist.append(&mut changes);
    persist.push(Change::Standing(Box::new(standing)));
    Ok(done(persist, &PrepareReply::Prepared(answer)).after(events))
}

/// Under a newer order no earlier attempt goes on in which the node has not dealt: nobody
/// can finish it, and its secrets are erased.
fn end_undealt(standing: &mut Standing, persist: &mut Vec<Change>) {
    standing.live.retain(|l| {
        if !l.dealt {
            persist.push(Change::Erase(l.number));
        }
        l.dealt
    });
}

/// A fresh ceremony key, and a fresh polynomial to which the node commits before it sees
/// anyone else's. A crash after this step finds both where they were.
fn take_part(
    me: &Me<'_>,
    plan: &Plan,
    rng: &mut impl CryptoRng,
) -> Result<(PrepareAnswer, Vec<Change>), Fault> {
    let ceremony_key = SecretScalar::random(rng);
    let public = EncodedPoint::new(ceremony_key.public())
        .map_err(|_| Fault::Alarm("the random generator gave a ceremony key of zero"))?;
    let constant = SecretScalar::random(rng);
    let polynomial = Polynomial::random(plan.committee().threshold(), &constant, rng)
        .map_err(|_| Fault::Alarm("the random generator gave a secret of zero"))?;

    let (id, identity) = (plan.id(), me.identity.public());
    let scope = id.hash();
    let commitment =
        commitment_hash(scope.as_bytes(), me.index, identity.as_bytes(), &polynomial.commit());
    let answer = PrepareAnswer::sign(&id, me.index, *public.bytes(), Some(commitment), me.identity);

    let number = plan.number();
    let key_bytes = Zeroizing::new(ceremony_key.to_bytes().to_vec());
    let changes = vec![
        Change::Attempt(number, Box::new(Attempt::ExpectPrepareList(answer.clone()))),
        Change::Seal(number, SecretKind::CeremonyKey, key_bytes),
        Change::Seal(number, SecretKind::Polynomial, polynomial.to_bytes()),
    ];
    Ok((answer, changes))
}
