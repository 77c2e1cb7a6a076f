//! Step 1 at a node: apply the order, make a ceremony key, commit to what it will deal.

use crate::{
    Fault, Plan,
    chain::{Heads, advance, join},
    current,
    message::{Descent, PrepareAnswer, PrepareReply, PrepareRequest},
    retire::Adopted,
    state::{Attempt, Change, MAX_LIVE, SecretKind, VersionState},
    step::{Done, Me, Subject},
};
use quorate_crypto::{EncodedPoint, SecretScalar, dealing::commitment_hash, sharing::Polynomial};
use quorate_types::{CeremonyStep, Event, Millis, VerifiedEpoch, VerifiedKey, VerifiedOrder};
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
    let descent = match &request.descent {
        Some(descent) => Some(Proven::verify(me, descent)?),
        None => None,
    };
    let plan = match (&descent, request.scheduled) {
        (Some(proven), _) => Plan::reshare(order, request.number, proven.parent.clone())?,
        (None, None) => Plan::new(order, request.number)?,
        (None, Some(version)) if order.rotation().is_some() => {
            Plan::birth(order, version, request.number)?
        }
        (None, Some(_)) => return Err(Fault::WrongAction),
    };
    current::party(me, &plan)?;
    let done = |persist, reply: &PrepareReply| {
        Done::new(me, CeremonyStep::Prepare, subject, persist, reply)
    };

    // Once for each number: the same again, or not at all.
    if let Some(attempt) = &state.attempt {
        let answer = attempt.prepared();
        let live = state.standing.live(plan.number());
        let parent = plan.parent().map(VerifiedEpoch::name);
        let same = parent.is_none() || live.is_some_and(|l| l.parent == parent);
        let again = matches!(attempt, Attempt::ExpectPrepareList(_)) && planted!(PrepareAgain);
        if answer.order != plan.order().hash() || !same {
            let number = request.number;
            return Err(Fault::NumberUsed { number, equivocators: Vec::new() });
        }
        if !again {
            return Ok(done(Vec::new(), &PrepareReply::Prepared(answer.clone())));
        }
    }
    if plan.parent().is_none() {
        if let Some(record) = &state.record {
            return Ok(done(Vec::new(), &PrepareReply::Born(Box::new(record.clone()))));
        }
        if let Some(active) = &state.standing.active {
            return Ok(done(Vec::new(), &PrepareReply::Certified(Box::new(active.clone()))));
        }
    }

    current::roster(me, &plan)?;
    let mut adopted = Adopted::of(state);
    if let Some(proven) = &descent {
        adopted.take(me, state, &proven.birth, &proven.parent, now)?;
        let parent = proven.parent.name();
        if !adopted.standing.descends(plan.number(), Some(parent)) && !planted!(ErasedParent) {
            // What the node knows is newer; it keeps to that, whatever the request brings.
            let record = state.in_force().ok_or(Fault::Parent)?;
            return Ok(done(Vec::new(), &PrepareReply::Past(Box::new(record.clone()))));
        }
    }
    let Adopted { mut standing, mut persist, .. } = adopted;
    if let Some(repeat) = plan.repeats() {
        let from = repeat.due(standing.in_force_since);
        if now < from || now > repeat.until {
            return Err(Fault::NotDue { from: from.0, until: repeat.until.0 });
        }
    }
    in_its_time(&plan, now)?;
    let birth = descent.as_ref().map(|proven| &proven.birth);
    let (head, beside) = state.verified_heads(me.cluster, plan.order(), birth)?;
    let heads = Heads { head: head.as_ref(), beside: beside.as_ref() };
    let orders = advance(me.cluster, heads, &request.earlier, plan.order(), now);
    let orders = match (&head, &descent) {
        (None, Some(_)) => orders.or_else(|_| join(plan.order(), now))?,
        _ => orders?,
    };
    let mut events = Vec::new();
    let newer = !orders.is_empty();
    for order in orders {
        events.push(Event::Order { order: order.hash() });
        persist.push(Change::Head(Box::new(order)));
    }
    let parent = plan.parent().map(VerifiedEpoch::name);
    let ends = standing.prepare(plan.number(), parent, newer);
    let ends = ends.ok_or(Fault::TooMany { max: MAX_LIVE })?;
    persist.extend(ends.into_iter().map(Change::of));

    let holds = parent.is_some_and(|p| standing.holds_active(p) && plan.may_deal(me.index));
    let (answer, mut changes) = take_part(me, &plan, holds, rng)?;
    persist.append(&mut changes);
    persist.push(Change::Standing(Box::new(standing)));
    Ok(done(persist, &PrepareReply::Prepared(answer)).after(events))
}

/// A version that is born by itself is born in its time, by this node's own clock.
fn in_its_time(plan: &Plan, now: Millis) -> Result<(), Fault> {
    let Some(rotate) = plan.order().rotation() else { return Ok(()) };
    let from = rotate.due(plan.version()).ok_or(Fault::Subject)?;
    if now < from || now > rotate.until {
        return Err(Fault::NotDue { from: from.0, until: rotate.until.0 });
    }
    Ok(())
}

/// Where the shares of a reshare come from, verified.
struct Proven {
    birth: VerifiedKey,
    parent: VerifiedEpoch,
}

impl Proven {
    fn verify(me: &Me<'_>, descent: &Descent) -> Result<Self, Fault> {
        let birth = descent.birth.verify(me.cluster)?;
        let parent = match &descent.newest {
            Some(newest) => newest.verify_epoch(me.cluster)?,
            None => birth.epoch().clone(),
        };
        if !birth.has(&parent) {
            return Err(Fault::Parent);
        }
        Ok(Self { birth, parent })
    }
}

/// A fresh ceremony key; in a genesis also a fresh polynomial, to which the node commits
/// before it sees anyone else's. A crash after this step finds both where they were.
fn take_part(
    me: &Me<'_>,
    plan: &Plan,
    holds: bool,
    rng: &mut impl CryptoRng,
) -> Result<(PrepareAnswer, Vec<Change>), Fault> {
    let ceremony_key = SecretScalar::random(rng);
    let public = EncodedPoint::new(ceremony_key.public())
        .map_err(|_| Fault::Alarm("the random generator gave a ceremony key of zero"))?;
    let number = plan.number();
    let key_bytes = Zeroizing::new(ceremony_key.to_bytes().to_vec());
    let mut changes = vec![Change::Seal(number, SecretKind::CeremonyKey, key_bytes)];

    let (id, identity) = (plan.id(), me.identity.public());
    let commitment = match plan.parent() {
        Some(parent) => holds.then_some(*parent.name().bundle.as_bytes()),
        None if plan.owner().is_some() => None,
        None => {
            let constant = SecretScalar::random(rng);
            let polynomial = Polynomial::random(plan.committee().threshold(), &constant, rng)
                .map_err(|_| Fault::Alarm("the random generator gave a secret of zero"))?;
            changes.push(Change::Seal(number, SecretKind::Polynomial, polynomial.to_bytes()));
            let scope = id.hash();
            let commitments = polynomial.commit(plan.group());
            Some(commitment_hash(scope.as_bytes(), me.index, identity.as_bytes(), &commitments))
        }
    };
    let answer = PrepareAnswer::sign(&id, me.index, *public.bytes(), commitment, me.identity);
    let attempt = Attempt::ExpectPrepareList(answer.clone());
    changes.push(Change::Attempt(number, Box::new(attempt)));
    Ok((answer, changes))
}
