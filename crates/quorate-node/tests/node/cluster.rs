//! Three nodes on loopback, two needed; a coordinator, an operator and a client as keys.

use quorate_ceremony::{Conductor, Failure, Outcome, Pace, StepKind};
use quorate_crypto::{
    EncodedPoint, IdentityKey, ShareIndex,
    answer::{OpeningSession, ReplyKey},
    hash::Label,
    merkle::merkle_root,
    tdh2::{self, Binding},
};
use quorate_node::{Config, Evaluator, Honest, InitOptions, Node, NodeHandle, StartError, init};
use quorate_rpc::{
    Channel, DialOptions, Dialer, MAX_CEREMONY_BYTES, MAX_REQUEST_BYTES, bounded,
    v1::{
        self, ceremony_client::CeremonyClient, node_answer, node_client::NodeClient, step_result,
    },
};
use quorate_types::*;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) const KEY: &str = "payroll";

/// The coordinator has key 120, the operator 101, the client 50.
pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

pub(crate) fn now() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(u64::try_from(now.as_millis()).unwrap())
}

pub(crate) struct Laid {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) cluster: Cluster,
}

impl Laid {
    /// Homes of three nodes with a roster, and an order in each for a key of client 50.
    pub(crate) fn out() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cards: Vec<NodeCard> = (1..=3).map(|i| lay(dir.path(), i)).collect();
        let cluster = found(&cards);
        let laid = Self { dir, cluster };
        let order = armor::write(armor::Title::ORDER, &laid.order());
        for i in 1..=3 {
            let home = laid.home(i);
            let chain = RosterChain(laid.cluster.chain().to_vec()).to_text();
            fs::write(home.join("roster.json"), chain).unwrap();
            fs::create_dir(home.join("orders")).unwrap();
            fs::write(home.join("orders/create.order"), &order).unwrap();
        }
        laid
    }

    pub(crate) fn home(&self, i: usize) -> PathBuf {
        self.dir.path().join(format!("node-{i}"))
    }

    pub(crate) fn order(&self) -> SignedOrder {
        let members = self.cluster.roster().nodes.iter();
        let members = members.map(|n| Member { index: n.index, identity: n.identity });
        let create = CreateKey {
            name: KEY.parse().unwrap(),
            version: KeyVersion::FIRST,
            suite: Suite::Tdh2Ristretto255,
            purpose: Purpose::Decrypt,
            committee: Committee::new(members.collect(), 2).unwrap(),
            q: 3,
            first_number: 1,
            grants: vec![Grant {
                client: key(50).public(),
                name: "app".parse().unwrap(),
                expires_at: now().plus(Millis::DAY),
            }],
            danger_concentrated: false,
            acknowledge_fragile: true,
            rights: Rights::NONE,
        };
        let order = Order {
            fingerprint: *self.cluster.fingerprint(),
            roster_version: 1,
            roster_hash: self.cluster.roster_hash(),
            issued_at: now(),
            expires_at: now().plus(Millis::DAY),
            nonce: [3; 32],
            predecessor: Hash::default(),
            action: Action::CreateKey(create),
        };
        let mut signed = Signed::unsigned(order.to_bytes());
        signed.sign(&key(101), Label::SIG_ORDER, self.cluster.fingerprint());
        SignedOrder(signed)
    }

    pub(crate) async fn start(&self, i: usize) -> Result<NodeHandle, StartError> {
        self.start_with(i, Arc::new(Honest)).await
    }

    pub(crate) async fn start_with(
        &self,
        i: usize,
        evaluator: Arc<dyn Evaluator>,
    ) -> Result<NodeHandle, StartError> {
        let home = self.home(i);
        Node::start(&home, Config::load(&home).unwrap(), evaluator).await
    }

    pub(crate) async fn start_all(&self) -> Vec<NodeHandle> {
        let mut nodes = Vec::new();
        for i in 1..=3 {
            nodes.push(self.start(i).await.unwrap());
        }
        acquaint_all(&nodes).await;
        nodes
    }
}

/// Ends the quarantine of all.
pub(crate) async fn acquaint_all(nodes: &[NodeHandle]) {
    for (at, node) in nodes.iter().enumerate() {
        let others = nodes.iter().enumerate().filter(|(other, _)| *other != at);
        acquaint(node, others.map(|(_, n)| n)).await;
    }
}

/// What a coordinator does: brings a node the others' words, which ends its quarantine.
pub(crate) async fn acquaint<'a>(node: &NodeHandle, others: impl Iterator<Item = &'a NodeHandle>) {
    let ask = |witnesses| v1::CheckpointRequest { witnesses };
    let stated = client(node, 120).checkpoint(ask(Vec::new())).await.unwrap().into_inner();
    let mut witnesses = Vec::new();
    for other in others {
        let request = v1::WitnessRequest { checkpoint: stated.checkpoint.clone() };
        let word = client(other, 120).witness(request).await.unwrap().into_inner();
        witnesses.push(word.witness);
    }
    let count = witnesses.len();
    let told = client(node, 120).checkpoint(ask(witnesses)).await.unwrap().into_inner();
    assert_eq!((told.told.len(), told.quarantined), (count, false));
}

fn lay(dir: &Path, i: u16) -> NodeCard {
    let places = [("Alpenhost", "CH"), ("Nordic", "IS"), ("Hanse", "DE")];
    let (provider, country) = places[usize::from(i) - 1];
    let country: Jurisdiction = country.parse().unwrap();
    let options = InitOptions {
        index: NodeIndex::new(i).unwrap(),
        // The roster's endpoint decides nothing here: tests dial what was really bound.
        listen: Some("127.0.0.1:0".parse().unwrap()),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..InitOptions::new(
            dir.join(format!("node-{i}")),
            format!("node-{i}").parse().unwrap(),
            format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
            provider.parse().unwrap(),
            country.clone(),
            country,
        )
    };
    init(&options).unwrap()
}

fn found(cards: &[NodeCard]) -> Cluster {
    let roster = Roster {
        cluster: "test".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: now(),
        nodes: cards.iter().map(|c| c.entry.clone()).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: key(120).public(),
        }],
        operators: vec![OperatorEntry { name: "op".parse().unwrap(), key: key(101).public() }],
        quorum: 1,
    };
    let mut signed = Signed::unsigned(roster.to_bytes());
    let fingerprint = quorate_types::roster::fingerprint(&signed.body);
    signed.sign(&key(101), Label::SIG_ROSTER, &fingerprint);
    Cluster::verify(&fingerprint, &[SignedRoster(signed)]).unwrap()
}

/// A connection to a node as somebody.
pub(crate) fn dial(node: &NodeHandle, who: u8) -> Channel {
    let dialer = Dialer::new(&key(who), DialOptions::default()).unwrap();
    dialer.channel(&node.address().to_string(), node.entry().identity).unwrap()
}

pub(crate) fn client(node: &NodeHandle, who: u8) -> NodeClient<Channel> {
    bounded!(NodeClient::new(dial(node, who)), MAX_REQUEST_BYTES)
}

/// Conducts the birth of the key over the nodes' ports.
pub(crate) async fn give_birth(laid: &Laid, nodes: &[NodeHandle]) -> KeyRecord {
    let order = VerifiedOrder::verify(&laid.cluster, &laid.submitted()).unwrap();
    let cluster = Arc::new(laid.cluster.clone());
    let mut conductor = Conductor::new(cluster, order, Pace::default()).unwrap();
    let mut channels: Vec<CeremonyClient<Channel>> = nodes
        .iter()
        .map(|n| bounded!(CeremonyClient::new(dial(n, 120)), MAX_CEREMONY_BYTES))
        .collect();
    loop {
        for send in conductor.poll(now()) {
            let to = &mut channels[usize::from(send.ticket.node.get()) - 1];
            let request = v1::StepRequest { items: vec![send.request.to_vec()] };
            let answer = match send.ticket.step {
                StepKind::Survey => to.survey(request).await,
                StepKind::Prepare => to.prepare(request).await,
                StepKind::Deal => to.deal(request).await,
                StepKind::Receive => to.receive(request).await,
                StepKind::Activate => to.activate(request).await,
                StepKind::Retire => to.retire(request).await,
            };
            match answer.unwrap().into_inner().results.remove(0).outcome.unwrap() {
                step_result::Outcome::Done(b) => conductor.on_answer(&send.ticket, Ok(&b), now()),
                step_result::Outcome::Fault(f) => {
                    let code = u16::try_from(f.code).unwrap();
                    let failure = Failure::Fault { code, message: f.message };
                    conductor.on_answer(&send.ticket, Err(failure), now());
                }
            }
        }
        match conductor.outcome() {
            Some(Outcome::Born { record, .. }) => return (**record).clone(),
            Some(Outcome::Failed { reason, .. }) => panic!("{reason}"),
            Some(Outcome::Moved { .. }) => unreachable!("a birth moves no shares"),
            None => {}
        }
    }
}

impl Laid {
    /// The order that lies in the homes (its times make each one different).
    fn submitted(&self) -> SignedOrder {
        let text = fs::read_to_string(self.home(1).join("orders/create.order")).unwrap();
        armor::read(armor::Title::ORDER, &text).unwrap()
    }
}

/// A ciphertext's head, and what it takes to open it.
pub(crate) struct Sealed {
    pub(crate) item: Vec<u8>,
    ciphertext: tdh2::Ciphertext,
    payload_key: [u8; 32],
}

pub(crate) struct Client {
    pub(crate) record: KeyRecord,
    pub(crate) fingerprint: Fingerprint,
    reply: ReplyKey,
}

impl Client {
    pub(crate) fn new(laid: &Laid, record: KeyRecord) -> Self {
        record.verify(&laid.cluster).unwrap();
        let reply = ReplyKey::generate(&mut UnwrapErr(SysRng));
        Self { record, fingerprint: *laid.cluster.fingerprint(), reply }
    }

    fn point(&self) -> EncodedPoint {
        EncodedPoint::decode(self.record.certificate.public.public_key()).unwrap()
    }

    fn header(&self) -> CiphertextHeader {
        let (name, version) = (KEY.parse().unwrap(), KeyVersion::FIRST);
        CiphertextHeader::new(Suite::Tdh2Ristretto255, &self.fingerprint, name, version)
    }

    pub(crate) fn encrypt(&self) -> Sealed {
        let (header, point) = (self.header(), self.point());
        let binding = Binding::new(self.fingerprint.as_bytes(), KEY.as_bytes(), 1, &point);
        let label = EncryptionContext::default().label();
        let (ciphertext, payload_key) =
            tdh2::encapsulate(&binding, &label, &header.to_bytes(), &mut UnwrapErr(SysRng));
        let item = CiphertextHead { header, kem: ciphertext.to_bytes() }.to_bytes();
        Sealed { item, ciphertext, payload_key: *payload_key.expose() }
    }

    pub(crate) fn request(&self, items: Vec<Vec<u8>>) -> v1::NodeEvaluateRequest {
        let mut id = [0; 16];
        rand::Rng::fill_bytes(&mut UnwrapErr(SysRng), &mut id);
        self.request_with(RequestId(id), items)
    }

    pub(crate) fn request_with(
        &self,
        id: RequestId,
        items: Vec<Vec<u8>>,
    ) -> v1::NodeEvaluateRequest {
        let head = RequestHead {
            id,
            issued_at: now(),
            ttl: 10_000,
            client: key(50).public(),
            key: KEY.parse().unwrap(),
            version: KeyVersion::FIRST,
            operation: Operation::Decrypt,
            context: EncryptionContext::default(),
            reply_key: self.reply.public(),
            prove: false,
            item_count: u16::try_from(items.len()).unwrap(),
            items_root: Hash(merkle_root(&items).unwrap()),
        };
        let head = head.to_bytes();
        let signature = key(50).sign(Label::SIG_REQUEST, self.fingerprint.as_bytes(), &head);
        v1::NodeEvaluateRequest { head, signature: signature.0.to_vec(), items }
    }

    /// A node's partials out of its answer.
    pub(crate) fn open(&self, answer: v1::NodeAnswer) -> (ShareIndex, Vec<[u8; 32]>) {
        let Some(node_answer::Outcome::Sealed(bytes)) = answer.outcome else {
            panic!("refused: {:?}", refusal(&answer))
        };
        let sealed = SealedAnswer::from_bytes(&bytes).unwrap();
        let node = sealed.key.node;
        let info = SealedAnswer::session_info(&self.fingerprint, node, &key(50).public());
        let session =
            OpeningSession::new(&self.reply, &sealed.key.public, &sealed.encapsulated, &info);
        let aad = SealedAnswer::associated_data(&sealed.request, node, &sealed.epoch);
        let opened = session.unwrap().open(sealed.counter, &aad, &sealed.sealed).unwrap();
        (node, Answer::from_bytes(&opened).unwrap().partials)
    }

    /// Asks these nodes and combines.
    pub(crate) async fn decrypt(&self, nodes: &[&NodeHandle], sealed: &Sealed) -> bool {
        let mut partials = Vec::new();
        for node in nodes {
            let request = self.request(vec![sealed.item.clone()]);
            let answer = client(node, 120).evaluate(request).await.unwrap().into_inner();
            let (index, points) = self.open(answer);
            partials.push((index, points[0]));
        }
        let point = self.point();
        let binding = Binding::new(self.fingerprint.as_bytes(), KEY.as_bytes(), 1, &point);
        let (label, header) = (EncryptionContext::default().label(), self.header().to_bytes());
        let threshold = self.record.certificate.public.committee.threshold();
        tdh2::decapsulate(&binding, &label, &header, &sealed.ciphertext, threshold, &partials)
            .is_ok_and(|key| *key.expose() == sealed.payload_key)
    }
}

pub(crate) fn refusal(answer: &v1::NodeAnswer) -> Option<RefusalReason> {
    match &answer.outcome {
        Some(node_answer::Outcome::Refusal(bytes)) => {
            Some(SignedRefusal::from_bytes(bytes).unwrap().refusal.reason)
        }
        _ => None,
    }
}
