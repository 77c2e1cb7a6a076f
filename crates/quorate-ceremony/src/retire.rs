//! Step 5 at a node: keep the birth certificate, erase what it ends.

use crate::{
    Fault,
    activate::own_receipt,
    chain::{Follow, follow},
    current::impersonated,
    message::{RetireAnswer, RetireRequest},
    state::{Attempt, Change, Forgery, Standing, VersionState},
    step::{Done, Me, Subject},
};
use quorate_types::{CeremonyStep, Event, KeyRecord, VerifiedKey, VerifiedOrder};

pub(crate) fn retire(
    me: &Me<'_>,
    subject: &Subject,
    state: &VersionState,
    request: &RetireRequest,
) -> Result<Done, Fault> {
    let key = request.record.verify(me.cluster)?;
    let public = key.public();
    let member = public.committee.member(me.index);
    if member.is_some_and(|m| m.identity == me.identity.public()) {
        own_receipt(me, state, &request.record.certificate)?;
        own_active(me, state, &request.record)?;
    }
    if state.record.as_ref().is_some_and(|r| r.certificate.public != *public) {
        return Err(Fault::OtherBirth);
    }

    let (mut persist, mut events) = (Vec::new(), Vec::new());
    if state.record.is_none() {
        follow_order(me, state, &key, &mut persist, &mut events)?;
        persist.push(Change::Record(Box::new(request.record.clone())));
    }
    let mut standing = state.standing.clone();
    let mut serving = false;
    if let Some(Attempt::ExpectCertificate(dealt, receipt) | Attempt::Active(dealt, receipt)) =
        &state.attempt
        && receipt.public == *public
    {
        serving = true;
        let attempt = Attempt::Active(dealt.clone(), receipt.clone());
        if state.attempt.as_ref() != Some(&attempt) {
            persist.push(Change::Attempt(subject.number, Box::new(attempt)));
        }
    }
    // An epoch that was not born answers nobody, even if the node has signed it active.
    standing.serving = serving.then_some(public.epoch);
    end_others(&mut standing, subject.number, &mut persist);
    standing.noted = None;
    if standing != state.standing {
        persist.push(Change::Standing(Box::new(standing)));
    }
    // A crash after this: the key is born here, and the same report is given again.
    let answer = RetireAnswer::sign(public, me.index, serving, me.identity);
    Ok(Done::new(me, CeremonyStep::Retire, subject, persist, &answer).after(events))
}

/// No other attempt of this version can be born any more: its secrets are erased. Only an
/// epoch that the node has signed active stays, as it has promised.
fn end_others(standing: &mut Standing, born: u64, persist: &mut Vec<Change>) {
    let promised = standing.active.as_ref().map(|a| a.certificate.public.epoch.number);
    standing.live.retain(|l| {
        let keep = l.number == born || Some(l.number) == promised;
        if !keep {
            persist.push(Change::Erase(l.number));
        }
        keep
    });
}

/// A node that missed the order has it now: a birth certificate proves it.
fn follow_order(
    me: &Me<'_>,
    state: &VersionState,
    key: &VerifiedKey,
    persist: &mut Vec<Change>,
    events: &mut Vec<Event>,
) -> Result<(), Fault> {
    let head = match &state.head {
        Some(signed) => Some(VerifiedOrder::verify(me.cluster, signed)?),
        None => None,
    };
    if let Ok(Follow::Next) = follow(head.as_ref(), key.order()) {
        events.push(Event::Order { order: key.order().hash() });
        persist.push(Change::Head(Box::new(key.order().clone())));
    }
    Ok(())
}

/// A valid active signature in this node's name must be the one that it gave.
fn own_active(me: &Me<'_>, state: &VersionState, record: &KeyRecord) -> Result<(), Fault> {
    let public = &record.certificate.public;
    let mine = record.actives.iter().find(|s| s.node == me.index);
    let signed = mine.is_some_and(|s| public.verifies_active(s));
    let given = state.standing.active.as_ref().map(|a| &a.certificate.public);
    if signed && given != Some(public) {
        return Err(impersonated(Forgery::Active, record));
    }
    Ok(())
}
