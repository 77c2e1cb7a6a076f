//! Step 4 at a node: serve the epoch and say so, for one public key of a version only.

use crate::{
    Fault,
    current::impersonated,
    message::{ActivateAnswer, ActivateRequest, Certified},
    state::{Attempt, Change, Forgery, VersionState},
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
    certificate.verify(&order)?;
    let public = &certificate.public;
    match public.committee.member(me.index) {
        Some(member) if member.identity == me.identity.public() => {}
        _ => return Err(Fault::NotMember),
    }
    own_receipt(me, state, certificate)?;
    let done = |persist, answer: &ActivateAnswer| {
        Done::new(me, CeremonyStep::Activate, subject, persist, answer)
    };

    // One public key of a version, for ever: every attempt makes another key.
    let active = state.standing.active.as_ref();
    if let Some(active) = active.filter(|a| a.certificate.public == *public) {
        return Ok(done(Vec::new(), &ActivateAnswer::Active(active.active)));
    }
    if let Some(record) = state.record.as_ref().filter(|r| r.certificate.public != *public) {
        return Ok(done(Vec::new(), &ActivateAnswer::Born(Box::new(record.clone()))));
    }
    if let Some(active) = active {
        return Ok(done(Vec::new(), &ActivateAnswer::Other(Box::new(active.clone()))));
    }

    let mut standing = state.standing.clone();
    let (mut persist, answer) = match &state.attempt {
        Some(Attempt::ExpectCertificate(dealt, receipt) | Attempt::Active(dealt, receipt))
            if receipt.public == *public =>
        {
            let signature = public.sign_active(me.index, me.identity);
            standing.serving = Some(public.epoch);
            standing.active = Some(Certified {
                order: request.order.clone(),
                certificate: certificate.clone(),
                active: signature,
            });
            let attempt = Attempt::Active(dealt.clone(), receipt.clone());
            let persist = vec![Change::Attempt(subject.number, Box::new(attempt))];
            (persist, ActivateAnswer::Active(signature))
        }
        _ => {
            let newer = |old: &ActivateRequest| old.certificate.public.epoch < public.epoch;
            if standing.noted.as_ref().is_none_or(newer) {
                standing.noted = Some(request.clone());
            }
            (Vec::new(), ActivateAnswer::Noted)
        }
    };
    // A crash after this: the signature is given again, and no other one ever.
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
    if signed && held.is_none_or(|receipt| receipt.public != *public) {
        return Err(impersonated(Forgery::Receipt, certificate));
    }
    Ok(())
}
