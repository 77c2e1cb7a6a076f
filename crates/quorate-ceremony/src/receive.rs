//! Step 3 at a node: take the share out of the bundle, or prove that a dealer cheated.

use crate::{
    Bundle, BundleFault, Fault, Plan, PrepareList,
    bundle::bundle_hash,
    current,
    message::{Receipt, ReceiveAnswer, ReceiveRequest, SignedComplaint, SignedDealing},
    prepare_list::list_hash,
    state::{Attempt, Change, Dealt, Forgery, Receiving, SecretKind, VersionState},
    step::{Done, Me},
};
use quorate_crypto::{
    SecretScalar, ShareIndex,
    dealing::{OpenError, VerifiedDealing, combine_share},
};
use quorate_types::{CeremonyStep, Format, Hash};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub(crate) fn receive(
    me: &Me<'_>,
    state: &VersionState,
    request: &ReceiveRequest,
    rng: &mut impl CryptoRng,
) -> Result<Done, Fault> {
    let subject = &request.subject;
    current::above(state, subject.number)?;
    let prepared = state.attempt.as_ref().map(Attempt::prepared);
    current::own_answer(me, subject, &request.answers, prepared)?;
    let Some(attempt) = &state.attempt else {
        return Err(Fault::TooEarly { missing: "prepare" });
    };
    let plan = current::plan(me, state, subject, request.parent.as_deref())?;
    if plan.committee().member(me.index).is_none() {
        return Err(Fault::NotMember);
    }
    let dealers = request.dealers();
    let ctx = plan.context(list_hash(plan.fingerprint(), &request.answers, &dealers)).hash();
    own_dealing(me, &plan, &ctx, &request.bundle, attempt.dealt())?;
    let dealt = match attempt.dealt() {
        Some(dealt) if plan.parent().is_none() || !planted!(SecondReceipt) => dealt.clone(),
        _ if plan.terms().is_genesis() => return Err(Fault::TooEarly { missing: "deal" }),
        // In a reshare a member may receive without dealing, in an import nobody else deals.
        _ => Dealt {
            prepared: attempt.prepared().clone(),
            answers: request.answers.clone(),
            dealers: dealers.clone(),
            dealing: None,
        },
    };
    if dealt.answers == request.answers && dealt.dealers != dealers {
        return Err(BundleFault::Dealers.into());
    }
    if dealt.answers != request.answers {
        let equivocators = current::equivocators(&plan, &dealt.answers, &request.answers);
        return Err(Fault::NumberUsed { number: subject.number, equivocators });
    }
    if let Some((step, answer)) = answered(me, &plan, &ctx, attempt, request)? {
        return Ok(Done::new(me, step, subject, Vec::new(), &answer));
    }

    if !state.standing.is_live(subject.number) {
        return Err(Fault::Closed);
    }
    let list = PrepareList::verify(&plan, request.answers.clone(), dealers)?;
    if list.receivers().key(me.index).is_none() {
        return Err(Fault::NotReceiver); // its answer came too late for the list
    }
    let bundle = Bundle::verify(&plan, &list, &request.bundle)?;
    may_receive(me, state, &plan, &bundle)?;

    let secret = state.secrets.ceremony_key.as_ref().ok_or(Fault::SecretMissing("ceremony key"))?;
    let mut values = Vec::with_capacity(bundle.dealings().len());
    for dealing in bundle.dealings() {
        match dealing.open(me.index, secret) {
            Ok(value) => values.push((dealing.dealer(), value)),
            Err(OpenError::BadValue(_)) => {
                let complaint = complain(me, &plan, &ctx, dealing, secret, rng)?;
                return Ok(complained(me, &dealt, request, complaint));
            }
            Err(OpenError::NotReceiver(_) | OpenError::WrongKey(_)) => {
                return Err(Fault::Alarm("a verified list does not have this node's key"));
            }
        }
    }
    received(me, state, &plan, dealt, request, &bundle, &values)
}

/// A node receives under the newest order that it knows, and on the parent in force; with
/// the exceptions of [`crate::Standing::receiving`].
fn may_receive(
    me: &Me<'_>,
    state: &VersionState,
    plan: &Plan,
    bundle: &Bundle,
) -> Result<(), Fault> {
    let in_force = state.in_force().map(|record| &record.certificate.public);
    match state.standing.receiving(bundle.public(), in_force) {
        Receiving::Always => Ok(()),
        Receiving::UnderNewestOrder => current::newest(me, state, plan),
        Receiving::Never if planted!(ErasedParent) => current::newest(me, state, plan),
        Receiving::Never => Err(Fault::Closed),
    }
}

/// What the node has answered for this number: the same again for the same bundle,
/// nothing for another.
fn answered(
    me: &Me<'_>,
    plan: &Plan,
    ctx: &Hash,
    attempt: &Attempt,
    request: &ReceiveRequest,
) -> Result<Option<(CeremonyStep, ReceiveAnswer)>, Fault> {
    let used = Fault::NumberUsed { number: plan.number(), equivocators: Vec::new() };
    match attempt {
        Attempt::ExpectPrepareList(_) | Attempt::ExpectBundle(_) => Ok(None),
        Attempt::ExpectCertificate(_, receipt) | Attempt::Active(_, receipt, _) => {
            if receipt.public.epoch.bundle != bundle_hash(ctx, &request.bundle) {
                if planted!(SecondReceipt) {
                    return Ok(None);
                }
                return Err(used);
            }
            Ok(Some((CeremonyStep::Receive, ReceiveAnswer::Receipt(receipt.clone()))))
        }
        Attempt::Complained(_, complaint) => {
            let accused = request.bundle.iter().find(|d| d.dealer == complaint.dealer);
            let same = accused.is_some_and(|d| {
                let (hash, identity) = (d.hash(ctx), me.identity.public());
                complaint.verifies(plan.fingerprint(), ctx, &hash, &identity)
            });
            if !same {
                return Err(used);
            }
            Ok(Some((CeremonyStep::Complain, ReceiveAnswer::Complaint(complaint.clone()))))
        }
    }
}

/// As [`current::own_answer`], for the dealing in this node's name.
fn own_dealing(
    me: &Me<'_>,
    plan: &Plan,
    ctx: &Hash,
    bundle: &[SignedDealing],
    dealt: Option<&Dealt>,
) -> Result<(), Fault> {
    let Some(dealing) = bundle.iter().find(|d| d.dealer == me.index) else {
        return Ok(()); // no full bundle: refused by whoever verifies it
    };
    if dealt.is_some_and(|d| d.dealing.as_ref() == Some(dealing)) {
        return Ok(());
    }
    if dealing.verifies(plan.fingerprint(), ctx, &me.identity.public()) {
        return Err(current::impersonated(Forgery::Dealing, dealing));
    }
    Err(Fault::NotMine { what: "dealing" })
}

/// Reveals the Diffie–Hellman point of this one bad value, never the ceremony key: that
/// would open every honest dealer's value too (CRYPTO.md §7).
fn complain(
    me: &Me<'_>,
    plan: &Plan,
    ctx: &Hash,
    dealing: &VerifiedDealing,
    secret: &SecretScalar,
    rng: &mut impl CryptoRng,
) -> Result<SignedComplaint, Fault> {
    let complaint = dealing
        .complain(me.index, secret, rng)
        .map_err(|_| Fault::Alarm("a bad value cannot be complained about"))?;
    let hash = Hash(*dealing.hash());
    let dealer = dealing.dealer();
    let signed =
        SignedComplaint::sign(plan.fingerprint(), ctx, dealer, &hash, &complaint, me.identity);
    if planted!(RevealCeremonyKey) {
        let mut revealed = signed;
        revealed.complaint[2..34].copy_from_slice(&secret.to_bytes()[..]);
        return Ok(revealed);
    }
    Ok(signed)
}

/// A crash after this: the same complaint is sent again, and never another one.
fn complained(
    me: &Me<'_>,
    dealt: &Dealt,
    request: &ReceiveRequest,
    complaint: SignedComplaint,
) -> Done {
    let complaint = Box::new(complaint);
    let attempt = Attempt::Complained(Box::new(dealt.clone()), complaint.clone());
    let persist = vec![Change::Attempt(request.subject.number, Box::new(attempt))];
    let answer = ReceiveAnswer::Complaint(complaint);
    Done::new(me, CeremonyStep::Complain, &request.subject, persist, &answer)
}

/// A crash after this: the share is pending, the receipt is sent again.
fn received(
    me: &Me<'_>,
    state: &VersionState,
    plan: &Plan,
    dealt: Dealt,
    request: &ReceiveRequest,
    bundle: &Bundle,
    values: &[(ShareIndex, SecretScalar)],
) -> Result<Done, Fault> {
    let share = combine_share(values, plan.weights())
        .map_err(|_| Fault::Alarm("verified dealings do not combine"))?;
    if !bundle.commitments().verify_share(me.index, &share) {
        return Err(Fault::Alarm("verified values combine to a wrong share"));
    }
    let public = bundle.public().clone();
    let signature = public.sign_receipt(me.index, me.identity);
    let receipt = Box::new(Receipt { public, signature });

    let number = request.subject.number;
    let attempt = Attempt::ExpectCertificate(Box::new(dealt), receipt.clone());
    let mut standing = state.standing.clone();
    if !standing.receive(receipt.public.epoch) {
        return Err(Fault::Closed);
    }
    let persist = vec![
        Change::Standing(Box::new(standing)),
        Change::Attempt(number, Box::new(attempt)),
        Change::Bundle(number, request.to_bytes()),
        Change::Seal(number, SecretKind::Share, Zeroizing::new(share.to_bytes().to_vec())),
    ];
    let answer = ReceiveAnswer::Receipt(receipt);
    Ok(Done::new(me, CeremonyStep::Receive, &request.subject, persist, &answer))
}
