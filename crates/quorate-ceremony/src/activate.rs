//! Step 4 at a node: serve the epoch and say so; of a genesis for one public key of a
//! version only.

use crate::{
    Fault,
    current::impersonated,
    message::{ActivateAnswer, ActivateRequest, Certified},
    state::{Attempt, Change, End, Forgery, VersionState},
    step::{Done, Me, Subject},
};
use quorate_types::{CeremonyStep, Certificate, VerifiedOrder};

pub(crate) fn activate(
    me: &Me<'_>,
    subject: &Subject,
    state: &VersionState,
    request: &ActivateRequest,
) -> Result<Done, Fault> {
    let order = VerifiedOrder::verify(me.cluster, &request.order)?;
    let certificate = &request.certificate;
    let terms = order.terms().filter(|_| planted!(MixReceipts));
    if terms.is_none_or(|t| certificate.receipts.len() < usize::from(t.q)) {
        certificate.verify(&order)?;
    }
    let public = &certificate.public;
    match public.committee.member(me.index) {
        Some(member) if member.identity == me.identity.public() => {}
        _ => return Err(Fault::NotMember),
    }
    own_receipt(me, state, certificate)?;
    let done = |persist, answer: &ActivateAnswer| {
        Done::new(me, CeremonyStep::Activate, subject, persist, answer)
    };

    let standing = &state.standing;
    let live = standing
        .live(public.epoch.number)
        .filter(|l| l.epoch == Some(public.epoch) || l.epoch.is_some() && planted!(NumberAlone));
    let active = standing.active.as_ref();
    // A born epoch is served whether the node had signed it active or another one; of a
    // genesis it signs only the one.
    let signed = match public.parent {
        None => active.is_some_and(|a| a.certificate.public == *public),
        Some(_) => live.is_some_and(|l| l.active),
    };
    if signed {
        let signature = public.sign_active(me.index, me.identity); // deterministic: the same again
        return Ok(done(Vec::new(), &ActivateAnswer::Active(signature)));
    }
    // Above what is in force, and a child of it; in a genesis before anything is.
    if !standing.descends(public.epoch.number, public.parent)
        && let Some(record) = state.in_force().filter(|r| r.certificate.public != *public)
    {
        return Ok(done(Vec::new(), &ActivateAnswer::Born(Box::new(record.clone()))));
    }
    // One public key of a version, for ever: every attempt of a genesis makes another key.
    if let (None, Some(active)) = (public.parent, active)
        && !planted!(TwoKeys)
    {
        return Ok(done(Vec::new(), &ActivateAnswer::Other(Box::new(active.clone()))));
    }

    let mut standing = standing.clone();
    let (mut persist, answer) = match &state.attempt {
        Some(Attempt::ExpectCertificate(dealt, receipt) | Attempt::Active(dealt, receipt, _))
            if live.is_some() && (receipt.public == *public || planted!(NumberAlone)) =>
        {
            let signature = public.sign_active(me.index, me.identity);
            let proof = Certified {
                order: request.order.clone(),
                certificate: certificate.clone(),
                active: signature,
            };
            let mut kept = None;
            match public.parent {
                None => standing.active = Some(proof),
                Some(_) => kept = Some(Box::new(proof)),
            }
            standing.mark(subject.number, |l| l.active = true);
            let attempt = Attempt::Active(dealt.clone(), receipt.clone(), kept);
            let mut persist = vec![Change::Attempt(subject.number, Box::new(attempt))];
            if let Some(parent) = public.parent.filter(|_| planted!(EraseBeforeRetire)) {
                standing.live.retain(|l| l.number != parent.number);
                persist.push(Change::Erase(parent.number));
            }
            if planted!(RetireWithoutActives) {
                let ends = standing.put_in_force(public.epoch, true);
                let erase = |(End::Erase(n) | End::Forget(n))| Change::Erase(n);
                persist.extend(ends.into_iter().flatten().map(erase));
            }
            (persist, ActivateAnswer::Active(signature))
        }
        _ if planted!(ActiveWithoutShare) => {
            let signature = public.sign_active(me.index, me.identity);
            (Vec::new(), ActivateAnswer::Active(signature))
        }
        _ => {
            let newer = |old: &ActivateRequest| old.certificate.public.epoch < public.epoch;
            if standing.noted.as_ref().is_none_or(newer) {
                standing.noted = Some(request.clone());
            }
            (Vec::new(), ActivateAnswer::Noted)
        }
    };
    // A crash after this: the signature is given again, and no other one of a genesis ever.
    if standing != state.standing {
        persist.push(Change::Standing(Box::new(standing)));
    }
    Ok(done(persist, &answer))
}

/// A valid receipt in this node's name must be the one that it signed.
pub(crate) fn own_receipt(
    me: &Me<'_>,
    state: &VersionState,
    certificate: &Certificate,
) -> Result<(), Fault> {
    let public = &certificate.public;
    let mine = certificate.receipts.iter().find(|s| s.node == me.index);
    let signed = mine.is_some_and(|s| public.verifies_receipt(s));
    let held = state.attempt.as_ref().and_then(Attempt::receipt);
    // Below what is in force the node has forgotten what it signed.
    let past = state.standing.in_force.is_some_and(|e| e.number > public.epoch.number);
    if signed && !past && held.is_none_or(|receipt| receipt.public != *public) {
        return Err(impersonated(Forgery::Receipt, certificate));
    }
    Ok(())
}
