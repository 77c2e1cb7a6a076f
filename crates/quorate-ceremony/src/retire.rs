//! Step 5 at a node: keep the birth or retire certificate, erase what it ends.

use crate::{
    Fault,
    activate::own_receipt,
    chain::{Follow, Heads, follow},
    current::impersonated,
    message::{RetireAnswer, RetireRequest},
    state::{Attempt, Change, Forgery, Standing, VersionState},
    step::{Done, Me, Subject},
};
use quorate_types::{CeremonyStep, Event, KeyRecord, Millis, VerifiedEpoch, VerifiedKey};

pub(crate) fn retire(
    me: &Me<'_>,
    subject: &Subject,
    state: &VersionState,
    request: &RetireRequest,
    now: Millis,
) -> Result<Done, Fault> {
    let epoch = request.record.verify_epoch(me.cluster)?;
    let public = epoch.public();
    if is_member(me, &epoch) {
        own_receipt(me, state, &request.record.certificate)?;
        own_active(me, state, &request.record)?;
    }
    let birth = birth(me, state, request, &epoch)?;

    let mut adopted = Adopted::of(state);
    adopted.take(me, state, &birth, &epoch, now)?;
    let mut events = Vec::new();
    follow_order(me, state, &birth, &epoch, &mut adopted.persist, &mut events)?;
    let Adopted { mut standing, mut persist, .. } = adopted;
    let held = match &state.attempt {
        Some(Attempt::ExpectCertificate(dealt, receipt) | Attempt::Active(dealt, receipt, _))
            if receipt.public == *public =>
        {
            Some(Attempt::Active(dealt.clone(), receipt.clone(), None))
        }
        _ => None,
    };
    let serving = standing.retire(public.epoch, held.is_some());
    if let Some(attempt) = held
        && serving
        && state.attempt.as_ref() != Some(&attempt)
    {
        persist.push(Change::Attempt(subject.number, Box::new(attempt)));
    }
    if standing != state.standing {
        persist.push(Change::Standing(Box::new(standing)));
    }
    // A crash after this: the epoch is in force here, and the same report is given again.
    let answer = RetireAnswer::sign(public, me.index, serving, me.identity);
    Ok(Done::new(me, CeremonyStep::Retire, subject, persist, &answer).after(events))
}

/// The birth certificate of the epoch's key: known here, the record itself, or brought along.
fn birth(
    me: &Me<'_>,
    state: &VersionState,
    request: &RetireRequest,
    epoch: &VerifiedEpoch,
) -> Result<VerifiedKey, Fault> {
    let of_epoch = epoch.terms().is_birth().then_some(&request.record);
    let record = of_epoch.or(state.record.as_ref()).or(request.birth.as_ref());
    let birth = record.ok_or(Fault::Parent)?.verify(me.cluster)?;
    if birth.has(epoch) { Ok(birth) } else { Err(Fault::OtherBirth) }
}

/// What a node takes over from a proven epoch: it comes into force, and all that this ends
/// is erased with the same commit.
pub(crate) struct Adopted {
    pub(crate) standing: Standing,
    pub(crate) persist: Vec<Change>,
}

impl Adopted {
    pub(crate) fn of(state: &VersionState) -> Self {
        Self { standing: state.standing.clone(), persist: Vec::new() }
    }

    /// Takes a birth or retire certificate over, if it is above what is in force here.
    pub(crate) fn take(
        &mut self,
        me: &Me<'_>,
        state: &VersionState,
        birth: &VerifiedKey,
        epoch: &VerifiedEpoch,
        now: Millis,
    ) -> Result<(), Fault> {
        match &state.record {
            Some(record) if record.certificate.public != *birth.public() => {
                return Err(Fault::OtherBirth);
            }
            Some(_) => {}
            None => {
                self.put_in_force(me, birth.epoch(), now);
                self.persist.push(Change::Record(Box::new(birth.record().clone())));
            }
        }
        if self.put_in_force(me, epoch, now) {
            self.persist.push(Change::Newest(Box::new(epoch.record().clone())));
        }
        Ok(())
    }

    fn put_in_force(&mut self, me: &Me<'_>, epoch: &VerifiedEpoch, now: Millis) -> bool {
        let ends = self.standing.put_in_force(epoch.name(), is_member(me, epoch));
        let comes = ends.is_some();
        if comes {
            self.standing.in_force_since = now;
        }
        self.persist.extend(ends.into_iter().flatten().map(Change::of));
        comes
    }
}

fn is_member(me: &Me<'_>, epoch: &VerifiedEpoch) -> bool {
    let member = epoch.public().committee.member(me.index);
    member.is_some_and(|m| m.identity == me.identity.public())
}

/// A node that missed the order has it now: the certificate proves it. One that knows no
/// order of the key begins there.
fn follow_order(
    me: &Me<'_>,
    state: &VersionState,
    birth: &VerifiedKey,
    epoch: &VerifiedEpoch,
    persist: &mut Vec<Change>,
    events: &mut Vec<Event>,
) -> Result<(), Fault> {
    let (head, beside) = state.verified_heads(me.cluster, epoch.order(), Some(birth))?;
    let heads = Heads { head: head.as_ref(), beside: beside.as_ref() };
    let begins = head.is_none() && epoch.order().reshare().is_some();
    if begins || matches!(follow(heads, epoch.order()), Ok(Follow::Next)) {
        events.push(Event::Order { order: epoch.order().hash() });
        persist.push(Change::Head(Box::new(epoch.order().clone())));
    }
    Ok(())
}

/// A valid active signature in this node's name must be the one that it gave.
fn own_active(me: &Me<'_>, state: &VersionState, record: &KeyRecord) -> Result<(), Fault> {
    let public = &record.certificate.public;
    let mine = record.actives.iter().find(|s| s.node == me.index);
    let signed = mine.is_some_and(|s| public.verifies_active(s));
    let of_genesis = state.standing.active.as_ref().map(|a| &a.certificate.public);
    let of_attempt = match &state.attempt {
        Some(Attempt::Active(_, receipt, _)) => Some(&receipt.public),
        _ => None,
    };
    // Below what is in force the node has forgotten what it gave.
    let past = state.standing.in_force.is_some_and(|e| e.number > public.epoch.number);
    if signed && !past && of_genesis != Some(public) && of_attempt != Some(public) {
        return Err(impersonated(Forgery::Active, record));
    }
    Ok(())
}
