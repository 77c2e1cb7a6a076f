//! Five fake nodes in five jurisdictions, two keys, and coordinators that can cheat.

use crate::node::{Behaviour, Node};
use quorate_client::{
    Client, ClientBuilder,
    transport::{BoxFuture, KeyStates, NodeSaid, Question, Records, Replies, Reply, Transport},
};
use quorate_crypto::{IdentityKey, SecretScalar, Threshold, hash::Label, sharing::Polynomial};
use quorate_rpc::{Deadline, Fault, FaultKind};
use quorate_types::*;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) const NOW: Millis = Millis(1_760_000_000_000);
pub(crate) const CLIENT: u8 = 50;

pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

pub(crate) fn index(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

/// A key with two epochs of one secret.
pub(crate) struct KeyMaterial {
    pub(crate) name: KeyName,
    pub(crate) order: SignedOrder,
    /// Moves the shares to the second epoch.
    pub(crate) moves: SignedOrder,
    pub(crate) epochs: [Epoch; 2],
}

pub(crate) struct Epoch {
    pub(crate) public: EpochPublic,
    pub(crate) polynomial: Polynomial,
}

/// The fixture: who is there, and how each behaves.
pub(crate) struct Fake {
    pub(crate) cluster: Cluster,
    pub(crate) keys: Arc<Vec<KeyMaterial>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) behaviours: Mutex<[Behaviour; 5]>,
}

/// 3 of 5; "demo" and "other" decrypt, "ids" derives, "release" signs, "vault" wraps.
pub(crate) fn fake() -> Arc<Fake> {
    fake_of(&genesis())
}

pub(crate) fn fake_of(roster: &Roster) -> Arc<Fake> {
    let cluster = cluster_of(roster);
    let ids = order(&cluster, "ids", 3, Purpose::Derive);
    let release = order(&cluster, "release", 3, Purpose::Sign);
    let vault = order(&cluster, "vault", 3, Purpose::Wrap);
    let keys = Arc::new(vec![
        material(&cluster, "demo", 3),
        material(&cluster, "other", 3),
        material_of(&cluster, ids),
        material_of(&cluster, release),
        material_of(&cluster, vault),
    ]);
    let node = |i| Node::new(index(i), key(i as u8), *cluster.fingerprint(), Arc::clone(&keys));
    Arc::new(Fake {
        nodes: (1..=5).map(node).collect(),
        behaviours: Mutex::default(),
        keys,
        cluster,
    })
}

pub(crate) fn genesis() -> Roster {
    let places = [("A", "DE"), ("B", "CH"), ("C", "NO"), ("D", "CA"), ("E", "JP")];
    let node = |i: u16| NodeEntry {
        index: index(i),
        name: format!("node-{i}").parse().unwrap(),
        endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
        provider: places[usize::from(i - 1)].0.parse().unwrap(),
        location: places[usize::from(i - 1)].1.parse().unwrap(),
        home: places[usize::from(i - 1)].1.parse().unwrap(),
        identity: key(i as u8).public(),
    };
    Roster {
        cluster: "fake".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: NOW,
        nodes: (1..=5).map(node).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: key(120).public(),
        }],
        operators: vec![OperatorEntry {
            name: "operator-1".parse().unwrap(),
            key: key(101).public(),
        }],
        quorum: 1,
    }
}

pub(crate) fn cluster_of(roster: &Roster) -> Cluster {
    let mut signed = Signed::unsigned(roster.to_bytes());
    let fingerprint = quorate_types::roster::fingerprint(&signed.body);
    signed.sign(&key(101), Label::SIG_ROSTER, &fingerprint);
    Cluster::verify(&fingerprint, &[SignedRoster(signed)]).unwrap()
}

/// The next version of a cluster's roster: `change` and the operator's signature.
pub(crate) fn extend(cluster: &Cluster, change: impl FnOnce(&mut Roster)) -> Cluster {
    let mut roster = cluster.roster().clone();
    roster.version += 1;
    roster.previous = cluster.roster_hash();
    change(&mut roster);
    let mut signed = Signed::unsigned(roster.to_bytes());
    signed.sign(&key(101), Label::SIG_ROSTER, cluster.fingerprint());
    let mut chain = cluster.chain().to_vec();
    chain.push(SignedRoster(signed));
    Cluster::verify(cluster.fingerprint(), &chain).unwrap()
}

/// An operator's order for a key with threshold `t`.
pub(crate) fn order(cluster: &Cluster, name: &str, t: u16, purpose: Purpose) -> SignedOrder {
    let member = |i: u16| Member { index: index(i), identity: key(i as u8).public() };
    let create = CreateKey {
        name: name.parse().unwrap(),
        version: KeyVersion::FIRST,
        suite: purpose.suite(),
        purpose,
        committee: Committee::new((1..=5).map(member).collect(), t).unwrap(),
        q: 5,
        first_number: 1,
        grants: Vec::new(),
        danger_concentrated: false,
        acknowledge_fragile: false,
        rights: Rights::NONE,
    };
    let order = Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: cluster.roster().version,
        roster_hash: cluster.roster_hash(),
        issued_at: NOW,
        expires_at: NOW.plus(Millis::DAY),
        nonce: [9; 32],
        predecessor: Hash::default(),
        action: Action::CreateKey(create),
    };
    let mut signed = Signed::unsigned(order.to_bytes());
    signed.sign(&key(101), Label::SIG_ORDER, cluster.fingerprint());
    SignedOrder(signed)
}

pub(crate) fn material(cluster: &Cluster, name: &str, t: u16) -> KeyMaterial {
    material_of(cluster, order(cluster, name, t, Purpose::Decrypt))
}

/// The key that an order makes, with both its epochs.
pub(crate) fn material_of(cluster: &Cluster, signed: SignedOrder) -> KeyMaterial {
    let verified = VerifiedOrder::verify(cluster, &signed).unwrap();
    let name = verified.create_key().unwrap().name.clone();
    let secret = SecretScalar::random(&mut rand::rng());
    let first = epoch(&verified, &secret, None);
    let moves = reshare(cluster, &verified, &first.public);
    let moved = VerifiedOrder::verify(cluster, &moves).unwrap();
    let second = epoch(&moved, &secret, Some(first.public.epoch));
    KeyMaterial { name, order: signed, moves, epochs: [first, second] }
}

/// The order that refreshes a key.
fn reshare(cluster: &Cluster, born: &VerifiedOrder, public: &EpochPublic) -> SignedOrder {
    let create = born.create_key().unwrap();
    let to = Reshare {
        name: create.name.clone(),
        version: create.version,
        newest: create.version,
        suite: create.suite,
        purpose: create.purpose,
        public_key: *public.public_key(),
        committee: create.committee.clone(),
        q: create.q,
        first_number: 1025,
        grace: 0,
        repeat: None,
        danger_concentrated: false,
        acknowledge_fragile: false,
    };
    let action = Action::Reshare(to);
    let order = Order { action, predecessor: born.hash(), ..born.order().clone() };
    let mut signed = Signed::unsigned(order.to_bytes());
    signed.sign(&key(101), Label::SIG_ORDER, cluster.fingerprint());
    SignedOrder(signed)
}

fn epoch(order: &VerifiedOrder, secret: &SecretScalar, parent: Option<EpochName>) -> Epoch {
    let create = order.terms().unwrap();
    let number = create.first_number;
    let t = Threshold::new(create.committee.threshold().get(), 5).unwrap();
    let polynomial = Polynomial::random(t, secret, &mut rand::rng()).unwrap();
    let public = EpochPublic {
        fingerprint: order.order().fingerprint,
        key: create.name.clone(),
        version: create.version,
        suite: create.suite,
        purpose: create.purpose,
        epoch: EpochName { number, bundle: Hash([number as u8; 32]) },
        parent,
        context: Hash([0xc0; 32]),
        order: order.hash(),
        committee: create.committee.clone(),
        commitments: polynomial.commit(create.suite.group()).bytes().to_vec(),
    };
    Epoch { public, polynomial }
}

impl KeyMaterial {
    /// The record of an epoch, with the signatures of all nodes.
    pub(crate) fn record(&self, epoch: usize) -> KeyRecord {
        let order = if epoch == 0 { &self.order } else { &self.moves };
        record_of(order.clone(), self.epochs[epoch].public.clone())
    }
}

pub(crate) fn record_of(order: SignedOrder, public: EpochPublic) -> KeyRecord {
    let receipts = (1..=5).map(|i| public.sign_receipt(index(i), &key(i as u8))).collect();
    let actives = (1..=5).map(|i| public.sign_active(index(i), &key(i as u8))).collect();
    KeyRecord { order, certificate: Certificate { public, receipts }, actives }
}

impl Fake {
    pub(crate) fn behave(&self, node: usize, behaviour: Behaviour) {
        self.behaviours.lock().unwrap()[node - 1] = behaviour;
    }

    fn material(&self, name: &KeyName) -> Option<&KeyMaterial> {
        self.keys.iter().find(|k| k.name == *name)
    }

    /// A client through the given coordinators, with its pins in memory.
    pub(crate) fn client(self: &Arc<Self>, coordinators: &[Arc<Coordinator>]) -> Client {
        self.builder(coordinators).build().unwrap()
    }

    pub(crate) fn builder(self: &Arc<Self>, coordinators: &[Arc<Coordinator>]) -> ClientBuilder {
        let builder =
            Client::builder().identity(key(CLIENT)).cluster(self.cluster.clone()).clock(|| NOW);
        coordinators.iter().fold(builder, |b, c| b.transport(Arc::clone(c) as Arc<dyn Transport>))
    }

    pub(crate) fn coordinator(self: &Arc<Self>, name: &str) -> Arc<Coordinator> {
        Arc::new(Coordinator::honest(name, self))
    }
}

type Tamper<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// A coordinator: honest unless it is given something to tamper with.
pub(crate) struct Coordinator {
    name: String,
    pub(crate) fake: Arc<Fake>,
    pub(crate) down: bool,
    pub(crate) denies_keys: bool,
    pub(crate) record: Option<Tamper<KeyRecord>>,
    /// The retire certificate that it shows, once shares have moved.
    pub(crate) newest: std::sync::Mutex<Option<Vec<u8>>>,
    exports: Mutex<Vec<Vec<u8>>>,
    pub(crate) rosters: Vec<Vec<u8>>,
    /// Orders about how keys are that it shows, each for its key and its aliases.
    pub(crate) states: Mutex<Vec<SignedOrder>>,
    /// What nodes say of having destroyed a key.
    pub(crate) receipts: Mutex<Vec<DestroyedReceipt>>,
    pub(crate) question: Option<Tamper<Question>>,
    pub(crate) replies: Option<Tamper<Replies>>,
    /// So many questions it carries; for more there is no time.
    pub(crate) most: usize,
    /// Questions that were carried.
    pub(crate) asked: AtomicUsize,
    /// Times a key was asked for.
    pub(crate) keys_asked: AtomicUsize,
}

impl Coordinator {
    pub(crate) fn honest(name: &str, fake: &Arc<Fake>) -> Self {
        Self {
            name: name.into(),
            fake: Arc::clone(fake),
            down: false,
            denies_keys: false,
            record: None,
            newest: std::sync::Mutex::default(),
            exports: Mutex::default(),
            rosters: fake.cluster.chain().iter().map(Format::to_bytes).collect(),
            states: Mutex::default(),
            receipts: Mutex::default(),
            question: None,
            replies: None,
            most: usize::MAX,
            asked: AtomicUsize::new(0),
            keys_asked: AtomicUsize::new(0),
        }
    }

    /// What it says from now on of how any key was exported.
    pub(crate) fn tell_exports(&self, orders: Vec<Vec<u8>>) {
        *self.exports.lock().unwrap() = orders;
    }

    fn up(&self) -> Result<(), Fault> {
        if self.down { Err(Fault::unavailable("connection refused")) } else { Ok(()) }
    }

    fn carry(&self, mut question: Question) -> Result<Replies, Fault> {
        self.up()?;
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.most {
            return Err(Fault::new(FaultKind::DeadlineExceeded, "too little is left"));
        }
        if let Some(tamper) = &self.question {
            tamper(&mut question);
        }
        let behaviours = *self.fake.behaviours.lock().unwrap();
        let mut replies = Replies::default();
        for (node, behaviour) in self.fake.nodes.iter().zip(behaviours) {
            if question.avoid.contains(&node.index) || replies.answers.len() == question.want {
                continue;
            }
            let number = u32::from(node.index.get());
            let signs = || RequestHead::from_bytes(&question.head).unwrap().operation;
            let leaves = behaviour == Behaviour::Leaves && signs() == Operation::Sign;
            if behaviour == Behaviour::Down || leaves {
                replies.failures.push((number, "unreachable".into()));
                continue;
            }
            let outcome =
                node.evaluate(behaviour, &question.head, &question.signature, &question.items);
            replies.answers.push(Reply { node: number, outcome, also: Vec::new() });
        }
        if let Some(tamper) = &self.replies {
            tamper(&mut replies);
        }
        Ok(replies)
    }
}

impl Transport for Coordinator {
    fn party(&self) -> String {
        self.name.clone()
    }

    fn rosters(&self, _: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        Box::pin(async { self.up().map(|()| self.rosters.clone()) })
    }

    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        _: bool,
        _: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>> {
        Box::pin(async move {
            self.up()?;
            self.keys_asked.fetch_add(1, Ordering::Relaxed);
            let unknown = || Fault::new(FaultKind::NotFound, "no such key");
            if self.denies_keys || version.is_some_and(|v| v != KeyVersion::FIRST) {
                return Err(unknown());
            }
            let mut record = self.fake.material(&name).ok_or_else(unknown)?.record(0);
            if let Some(tamper) = &self.record {
                tamper(&mut record);
            }
            let newest = self.newest.lock().unwrap().clone().unwrap_or_default();
            let exports = self.exports.lock().unwrap().clone();
            Ok(vec![Records { birth: record.to_bytes(), newest, exports }])
        })
    }

    fn key_state(&self, name: KeyName, _: Deadline) -> BoxFuture<'_, Result<KeyStates, Fault>> {
        Box::pin(async move {
            self.up()?;
            let of_name = |signed: &&SignedOrder| {
                let order = Order::from_bytes(&signed.0.body).unwrap();
                let Action::SetKeyState(state) = order.action else { return true };
                state.name == name || state.aliases.contains(&name)
            };
            let states = self.states.lock().unwrap();
            let orders = states.iter().filter(of_name).map(Format::to_bytes).collect();
            let said = |receipt: &DestroyedReceipt| NodeSaid {
                node: receipt.node,
                revision: 1,
                receipt: receipt.to_bytes(),
                reason: String::new(),
            };
            let nodes = self.receipts.lock().unwrap().iter().map(said).collect();
            Ok(KeyStates { orders, nodes })
        })
    }

    fn evaluate(&self, question: Question, _: Deadline) -> BoxFuture<'_, Result<Replies, Fault>> {
        Box::pin(async move { self.carry(question) })
    }
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::new([("app".into(), "payroll".into())].into()).unwrap()
}

/// One coordinator, one client, and a ciphertext under "demo".
pub(crate) async fn sealed(plaintext: &[u8]) -> (Arc<Fake>, Client, Vec<u8>) {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    let ciphertext = client.key("demo").await.unwrap().encrypt(plaintext, &context()).unwrap();
    (fake, client, ciphertext)
}
