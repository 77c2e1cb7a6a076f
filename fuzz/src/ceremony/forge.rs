//! What everybody but the member can say, said with valid signatures.

use super::{ME, script::Script};
use crate::rig::{index, key, sign};
use quorate_ceremony::{
    ActivateRequest, AttemptId, DealRequest, Plan, PrepareAnswer, PrepareRequest, ReceiveRequest,
    RetireRequest, SignedDealing, StepKind, Subject, prepare_list::list_hash,
};
use quorate_crypto::{IdentityKey, hash::Label};
use quorate_types::{Certificate, Fingerprint, Format, Hash, NodeIndex, Order};

/// The message with the signatures of its operators and of the member's peers made anew, over
/// whatever it says now.
pub(super) fn signed_anew(script: &Script, step: StepKind, bytes: &[u8]) -> Option<Vec<u8>> {
    let fingerprint = script.cluster.fingerprint();
    Some(match step {
        StepKind::Survey => return None,
        StepKind::Prepare => {
            let mut request = PrepareRequest::from_bytes(bytes).ok()?;
            request.order = sign(&Order::from_bytes(&request.order.0.body).ok()?, &[101, 103]);
            request.to_bytes()
        }
        StepKind::Deal => {
            let mut request = DealRequest::from_bytes(bytes).ok()?;
            sign_answers(fingerprint, &request.subject, &mut request.answers);
            request.to_bytes()
        }
        StepKind::Receive => {
            let mut request = ReceiveRequest::from_bytes(bytes).ok()?;
            sign_answers(fingerprint, &request.subject, &mut request.answers);
            let order = request.answers.first()?.order;
            let plan = script.plans.iter().find(|p| p.order().hash() == order)?;
            let plan = Plan::new(plan.order().clone(), request.subject.number).ok()?;
            let ctx =
                plan.context(list_hash(fingerprint, &request.answers, &request.dealers())).hash();
            request.bundle.iter_mut().for_each(|d| sign_dealing(fingerprint, &ctx, d));
            request.to_bytes()
        }
        StepKind::Activate => {
            let mut request = ActivateRequest::from_bytes(bytes).ok()?;
            sign_receipts(&mut request.certificate);
            request.to_bytes()
        }
        StepKind::Retire => {
            let mut request = RetireRequest::from_bytes(bytes).ok()?;
            let record = &mut request.record;
            sign_receipts(&mut record.certificate);
            for active in record.actives.iter_mut().filter(|s| is_peer(s.node)) {
                *active =
                    record.certificate.public.sign_active(active.node, &identity(active.node));
            }
            request.to_bytes()
        }
    })
}

/// The certificate or record without the member's own signatures: three are enough.
pub(super) fn without_me(step: StepKind, bytes: &[u8]) -> Option<Vec<u8>> {
    match step {
        StepKind::Activate => {
            let mut request = ActivateRequest::from_bytes(bytes).ok()?;
            request.certificate.receipts.retain(|s| is_peer(s.node));
            Some(request.to_bytes())
        }
        StepKind::Retire => {
            let mut request = RetireRequest::from_bytes(bytes).ok()?;
            request.record.certificate.receipts.retain(|s| is_peer(s.node));
            request.record.actives.retain(|s| is_peer(s.node));
            Some(request.to_bytes())
        }
        StepKind::Survey | StepKind::Prepare | StepKind::Deal | StepKind::Receive => None,
    }
}

fn sign_answers(fingerprint: &Fingerprint, subject: &Subject, answers: &mut [PrepareAnswer]) {
    for a in answers.iter_mut().filter(|a| is_peer(a.node)) {
        let id = AttemptId {
            fingerprint: *fingerprint,
            key: subject.key.clone(),
            version: subject.version,
            order: a.order,
            number: subject.number,
        };
        *a = PrepareAnswer::sign(&id, a.node, a.ceremony_key, a.commitment, &identity(a.node));
    }
}

/// Also over what is no dealing: [`SignedDealing::sign`] takes none.
fn sign_dealing(fingerprint: &Fingerprint, ctx: &Hash, dealing: &mut SignedDealing) {
    if is_peer(dealing.dealer) {
        let hash = dealing.hash(ctx);
        let said = [&ctx.0[..], &dealing.dealer.get().to_be_bytes(), &hash.0].concat();
        let key = identity(dealing.dealer);
        dealing.signature = key.sign(Label::SIG_DEALING, fingerprint.as_bytes(), &said);
    }
}

fn sign_receipts(certificate: &mut Certificate) {
    for receipt in certificate.receipts.iter_mut().filter(|s| is_peer(s.node)) {
        *receipt = certificate.public.sign_receipt(receipt.node, &identity(receipt.node));
    }
}

fn is_peer(node: NodeIndex) -> bool {
    node != index(ME)
}

fn identity(node: NodeIndex) -> IdentityKey {
    key(node.get() as u8)
}
