//! The parts that misbehave. None of this is in `quorate-node` or `quorate-coordinator`.

use crate::failure::Failure;
use quorate_client::{
    CoordinatorTransport, Error, Home, Key,
    transport::{BoxFuture, Question, Records, Replies, Transport},
};
use quorate_coordinator::server::read_key;
use quorate_crypto::{
    IdentityKey, SecretScalar, group::encode_point, hash::Label, merkle::merkle_root,
};
use quorate_node::{Evaluator, Honest, Items};
use quorate_quorum::Pool;
use quorate_rpc::{
    Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{NodeEvaluateRequest, node_client::NodeClient},
};
use quorate_types::{
    CiphertextHead, EncryptionContext, Format, Hash, KeyName, KeyRecord, KeyVersion, Operation,
    RequestHead, RequestId,
};
use rand::Rng;
use std::{path::Path, time::Duration};

/// A node that answers with somebody else's partials: canonical points, and wrong.
#[derive(Debug, Default)]
pub(super) struct Liar(Honest);

impl Evaluator for Liar {
    fn partials(&self, _: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        self.0.partials(&SecretScalar::random(&mut rand::rng()), items)
    }
}

/// A coordinator that swaps a key's public key for its own, in an else genuine record.
pub(super) struct EvilCoordinator(CoordinatorTransport);

impl EvilCoordinator {
    pub(super) fn new(home: &Home) -> Result<Self, Failure> {
        let identity = home.identity(None).map_err(Error::from)?;
        let mut real = CoordinatorTransport::all(&identity, home.cluster().roster(), &[])?;
        let first = real.pop().ok_or_else(|| Failure::new("the roster names no coordinator"))?;
        Ok(Self(first))
    }
}

impl Transport for EvilCoordinator {
    fn party(&self) -> String {
        self.0.party()
    }

    fn rosters(&self, deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        self.0.rosters(deadline)
    }

    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>> {
        Box::pin(async move {
            let records = self.0.key(name, version, fresh, deadline).await?;
            let own = encode_point(&SecretScalar::random(&mut rand::rng()).public());
            let swap = |records: &Records| {
                let mut record = KeyRecord::from_bytes(&records.birth).ok()?;
                record.certificate.public.commitments[0] = own;
                Some(Records { birth: record.to_bytes(), ..Records::default() })
            };
            Ok(records.iter().filter_map(swap).collect())
        })
    }

    fn evaluate(
        &self,
        question: Question,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Replies, Fault>> {
        self.0.evaluate(question, deadline)
    }
}

/// Asks every node, with the coordinator's own TLS key, for a decryption in the client's
/// name. Gives how many were asked and how many refused.
pub(super) async fn forged_request(
    victim: &Home,
    coordinator: &Path,
    key: &Key,
) -> Result<(usize, usize), Failure> {
    let attacker = read_key(&coordinator.join("tls.key")).map_err(Failure::new)?;
    let client = victim.identity(None).map_err(Error::from)?.public();
    let roster = victim.cluster().roster();
    let fingerprint = victim.cluster().fingerprint();

    let context = EncryptionContext::default();
    let sealed = key.encrypt(b"wanted", &context)?;
    let (head, _) = CiphertextHead::split(&sealed).map_err(Failure::new)?;
    let items = vec![head.to_bytes()];
    let mut id = [0; 16];
    rand::rng().fill_bytes(&mut id);
    let head = RequestHead {
        id: RequestId(id),
        issued_at: crate::time::now(),
        ttl: 30_000,
        client,
        key: key.name().clone(),
        version: key.version(),
        operation: Operation::Decrypt,
        context,
        reply_key: quorate_crypto::answer::ReplyKey::generate(&mut rand::rng()).public(),
        prove: false,
        item_count: 1,
        items_root: Hash(merkle_root(&items).map_err(Failure::new)?),
    }
    .to_bytes();
    let signature = forge(&attacker, fingerprint.as_bytes(), &head);

    let pool = Pool::of(roster, &attacker).map_err(Failure::new)?;
    let deadline = Deadline::after(Duration::from_secs(5));
    let outcome = pool
        .ask_all(&pool.indices(), deadline, |_, channel| {
            let message = NodeEvaluateRequest {
                head: head.clone(),
                signature: signature.clone(),
                items: items.clone(),
            };
            async move {
                let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                node.evaluate(deadline.request(message)?).await?;
                Ok(())
            }
        })
        .await;
    // Nodes that are switched off neither refuse nor yield.
    let refused = outcome.failures.iter().filter(|(_, f)| f.kind.is_decision()).count();
    Ok((refused + outcome.answers.len(), refused))
}

/// The attacker has its own key only.
fn forge(attacker: &IdentityKey, fingerprint: &[u8; 32], head: &[u8]) -> Vec<u8> {
    attacker.sign(Label::SIG_REQUEST, fingerprint, head).0.to_vec()
}
