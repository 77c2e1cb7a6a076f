//! Imports: the way from a ceremony that is conducted here to the key's owner and back.
//!
//! The owner has submitted the order and reads its progress; there the request to deal comes. The
//! dealing comes with a call of its own. What is dealt is sealed to the nodes: it can be lost or
//! held back here, and neither read nor changed.

use crate::postman::StepAnswer;
use quorate_ceremony::fault::NO_OWNER;
use quorate_crypto::PublicKey;
use quorate_rpc::{Deadline, Fault, FaultKind};
use quorate_types::Hash;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::oneshot;

/// Dealings that are awaited: by order and epoch number.
#[derive(Debug, Default)]
pub(crate) struct Imports(Mutex<BTreeMap<(Hash, u64), Awaited>>);

#[derive(Debug)]
struct Awaited {
    /// Whose dealing.
    owner: PublicKey,
    /// Ceremonies that await it: more than one if the owner has begun again.
    ceremonies: Vec<oneshot::Sender<Vec<u8>>>,
}

impl Imports {
    /// Awaits the owner's dealing.
    pub(crate) fn expect(
        &self,
        order: Hash,
        number: u64,
        owner: PublicKey,
    ) -> oneshot::Receiver<Vec<u8>> {
        let (ceremony, dealing) = oneshot::channel();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ceremonies that have ended meanwhile await nothing: no more are kept than are under way.
        all.retain(|_, a| {
            a.ceremonies.retain(|c| !c.is_closed());
            !a.ceremonies.is_empty()
        });
        let awaited = all.entry((order, number));
        awaited.or_insert(Awaited { owner, ceremonies: Vec::new() }).ceremonies.push(ceremony);
        dealing
    }

    /// Brings the owner's dealing to the ceremonies that await it. From anybody else it is not
    /// taken: it would end the attempt.
    pub(crate) fn bring(
        &self,
        order: Hash,
        number: u64,
        peer: Option<PublicKey>,
        dealing: &[u8],
    ) -> Result<(), Fault> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(awaited) = all.get(&(order, number)) else {
            let text = "no import under way here awaits this dealing: submit its order again";
            return Err(Fault::new(FaultKind::NotFound, text));
        };
        if peer != Some(awaited.owner) {
            return Err(Fault::denied("only the dealer that the order names deals"));
        }
        let ceremonies = all.remove(&(order, number)).into_iter().flat_map(|a| a.ceremonies);
        // One that has ended meanwhile needs it no more.
        ceremonies.for_each(|ceremony| drop(ceremony.send(dealing.to_vec())));
        Ok(())
    }
}

/// What a ceremony is told when the owner is not there.
pub(crate) fn no_owner() -> StepAnswer {
    let message = "only the key's owner can deal it, with `quorate key import --order FILE --from \
                   KEY`, and must stay until it is born";
    StepAnswer::Fault { code: NO_OWNER, message: message.into() }
}

/// The dealing, if it comes in time.
pub(crate) async fn dealt(dealing: oneshot::Receiver<Vec<u8>>, deadline: Deadline) -> StepAnswer {
    match tokio::time::timeout_at(deadline.instant(), dealing).await {
        Ok(Ok(bytes)) => StepAnswer::Done(bytes),
        _ => StepAnswer::Unreachable(Fault::unavailable("the key's owner has not dealt")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;

    fn key(i: u8) -> PublicKey {
        IdentityKey::from_seed(&[i; 32]).public()
    }

    /// A stranger's dealing would end the attempt: it is not even brought to it.
    #[test]
    fn only_the_owner_deals_and_each_ceremony_that_awaits_it_hears() {
        let (imports, order) = (Imports::default(), Hash([7; 32]));
        let kind = |r: Result<(), Fault>| r.unwrap_err().kind;
        let owner = Some(key(1));
        assert_eq!(kind(imports.bring(order, 1, owner, b"d")), FaultKind::NotFound);
        let (mut first, mut second) =
            (imports.expect(order, 1, key(1)), imports.expect(order, 1, key(1)));
        assert_eq!(kind(imports.bring(order, 1, Some(key(2)), b"x")), FaultKind::PermissionDenied);
        assert_eq!(kind(imports.bring(order, 1, None, b"x")), FaultKind::PermissionDenied);
        assert_eq!(kind(imports.bring(order, 2, owner, b"x")), FaultKind::NotFound);
        assert!(first.try_recv().is_err());
        imports.bring(order, 1, owner, b"d").unwrap();
        assert_eq!(
            (first.try_recv().unwrap(), second.try_recv().unwrap()),
            (b"d".into(), b"d".into())
        );
        // What nobody awaits any more is not kept.
        drop(imports.expect(order, 3, key(1)));
        let _kept = imports.expect(order, 4, key(1));
        assert_eq!(imports.0.lock().unwrap().len(), 1);
    }
}
