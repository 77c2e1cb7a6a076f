//! Step 4 at a node: serve the epoch and say so; of a genesis for one public key of a
//! version only.

use crate::{
    Fault,
    current::impersonated,
    message::{ActivateAnswer, ActivateRequest, Certified},
    state::{Activation, Attempt, Change, Forgery, VersionState},
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
    let terms = order.terms_of(certificate.public.version).filter(|_| planted!(MixReceipts));
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

    let in_force = state.in_force();
    let held = match &state.attempt {
        Some(Attempt::ExpectCertificate(dealt, receipt) | Attempt::Active(dealt, receipt, _)) => {
            Some((dealt, receipt))
        }
        _ => None,
    };
    let activation = state.standing.activation(
        public,
        in_force.map(|record| &record.certificate.public),
        held.map(|(_, receipt)| &receipt.public),
    );
    let mut standing = state.standing.clone();
    let (mut persist, answer) = match (activation, held) {
        (Activation::Again, held) => {
            let signature = public.sign_active(me.index, me.identity); // deterministic: the same again
            let mut persist = Vec::new();
            // It had come into force here before the node was asked: now it has signed, and
            // must know its signature when it sees it again.
            if let (Some(Attempt::ExpectCertificate(..)), Some((dealt, receipt))) =
                (&state.attempt, held)
            {
                let attempt = Attempt::Active(dealt.clone(), receipt.clone(), None);
                persist.push(Change::Attempt(subject.number, Box::new(attempt)));
            }
            (persist, ActivateAnswer::Active(signature))
        }
        (Activation::Past, _) => {
            let record = in_force.ok_or(Fault::Alarm("nothing is in force"))?;
            (Vec::new(), ActivateAnswer::Born(Box::new(record.clone())))
        }
        (Activation::Other, _) if !planted!(TwoKeys) => {
            let active = standing.active.as_ref().ok_or(Fault::Alarm("nothing is active"))?;
            (Vec::new(), ActivateAnswer::Other(Box::new(active.clone())))
        }
        (Activation::Active | Activation::Other, Some((dealt, receipt))) => {
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
            standing.activate(subject.number);
            let attempt = Attempt::Active(dealt.clone(), receipt.clone(), kept);
            let mut persist = vec![Change::Attempt(subject.number, Box::new(attempt))];
            if let Some(parent) = public.parent.filter(|_| planted!(EraseBeforeRetire)) {
                standing.live.retain(|l| l.number != parent.number);
                persist.push(Change::Erase(parent.number));
            }
            if planted!(RetireWithoutActives) {
                let ends = standing.put_in_force(public.epoch, true);
                let erase =
                    |(crate::state::End::Erase(n) | crate::state::End::Forget(n))| Change::Erase(n);
                persist.extend(ends.into_iter().flatten().map(erase));
            }
            (persist, ActivateAnswer::Active(signature))
        }
        _ if planted!(ActiveWithoutShare) => {
            let signature = public.sign_active(me.index, me.identity);
            (Vec::new(), ActivateAnswer::Active(signature))
        }
        _ => {
            standing.note(request.clone());
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
