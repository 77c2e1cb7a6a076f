//! A cluster in memory: three nodes, two needed, three operators of whom two sign.

use crate::{
    ceremonies,
    clock::{Clock, Now},
    core::{Core, CoreLimits},
    enrol::Place,
    evaluator::{Evaluator, Honest, Items},
    life, orders, quarantine,
    requests::{self, Incoming, Reply},
    startup, witness,
};
use quorate_ceremony::{Conductor, Descent, Failure, Outcome, Pace, Ticket};
use quorate_crypto::{
    EncodedPoint, IdentityKey, PublicKey, SecretScalar,
    answer::{OpeningSession, ReplyKey},
    frost::{KeyShare, NoncePair, SignError, SigningSet},
    hash::Label,
    merkle::merkle_root,
    tdh2::{self, Binding},
};
use quorate_rpc::{Fault, v1::step_result::Outcome as Answered};
use quorate_store::{Batch, MemStore, Record, SledStore, Space, Store, StoreError, Tree};
use quorate_types::*;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub(crate) const START: u64 = 1_760_000_000_000;
pub(crate) const KEY: &str = "payroll";

/// The `n`th key: nodes 1 to 3, clients 50 on, operators 101 to 103, coordinator 120.
pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

pub(crate) fn public(n: u8) -> PublicKey {
    key(n).public()
}

/// A clock that stands still until it is told.
pub(crate) struct TestClock(AtomicU64, AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(START), AtomicU64::new(0))
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
        self.1.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock only.
    pub(crate) fn jump_to(&self, wall: u64) {
        self.0.store(wall, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now {
            wall: Millis(self.0.load(Ordering::SeqCst)),
            steady: Duration::from_millis(self.1.load(Ordering::SeqCst)),
        }
    }
}

/// [`MemStore`], or a store on a disk, that counts, and refuses commits or audit entries when it
/// is told to.
#[derive(Default)]
pub(crate) struct Spy {
    pub(crate) inner: MemStore,
    /// In the place of `inner`.
    pub(crate) disk: Option<SledStore>,
    pub(crate) commits: AtomicUsize,
    pub(crate) refuse_audit: AtomicBool,
    pub(crate) refuse_commit: AtomicBool,
    /// As many commits are taken as this; 0 stands for all.
    pub(crate) most_commits: AtomicUsize,
}

impl Spy {
    fn store(&self) -> &dyn Store {
        match &self.disk {
            Some(disk) => disk,
            None => &self.inner,
        }
    }

    /// A copy, as a disk image is.
    pub(crate) fn image(&self) -> Arc<Self> {
        Arc::new(Self { inner: self.inner.image(), ..Self::default() })
    }
}

impl Store for Spy {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let before = self.commits.fetch_add(1, Ordering::SeqCst);
        let most = self.most_commits.load(Ordering::SeqCst);
        if self.refuse_commit.load(Ordering::SeqCst) || (most > 0 && before >= most) {
            return Err(StoreError::Full { free: 0, hard: 1 });
        }
        self.store().commit(batch)
    }
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.store().get(tree, key)
    }
    fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.store().scan(tree, prefix, after, limit)
    }
    fn audit_append_many(&self, leaves: Vec<Vec<u8>>) -> Result<u64, StoreError> {
        if self.refuse_audit.load(Ordering::SeqCst) {
            return Err(StoreError::Full { free: 0, hard: 1 });
        }
        self.store().audit_append_many(leaves)
    }
    fn audit_read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.store().audit_read(from, limit)
    }
    fn audit_head(&self) -> (u64, [u8; 32]) {
        self.store().audit_head()
    }
    fn manifest_head(&self) -> (u64, [u8; 32]) {
        self.store().manifest_head()
    }
    fn poisoned(&self) -> bool {
        self.store().poisoned()
    }
    fn space(&self) -> Space {
        self.store().space()
    }
}

/// Notes how long the audit log was whenever the share was used, and the share.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) store: Mutex<Option<Arc<Spy>>>,
    pub(crate) used_at: Mutex<Vec<u64>>,
    pub(crate) share: Mutex<Option<SecretScalar>>,
}

impl Evaluator for Watch {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        let length = self.store.lock().unwrap().as_ref().map_or(0, |s| s.audit_head().0);
        self.used_at.lock().unwrap().push(length);
        *self.share.lock().unwrap() = Some(share.clone());
        Honest.partials(share, items)
    }

    fn sign(
        &self,
        key: &KeyShare,
        pairs: Vec<NoncePair>,
        sets: &[SigningSet],
    ) -> Vec<Result<[u8; 32], SignError>> {
        let length = self.store.lock().unwrap().as_ref().map_or(0, |s| s.audit_head().0);
        self.used_at.lock().unwrap().push(length);
        Honest.sign(key, pairs, sets)
    }
}

pub(crate) struct TestNode {
    pub(crate) core: Arc<Core>,
    pub(crate) store: Arc<Spy>,
    pub(crate) watch: Arc<Watch>,
}

impl TestNode {
    pub(crate) fn audit(&self) -> Vec<AuditEntry> {
        let leaves = self.store.audit_read(0, 10_000).unwrap();
        leaves.iter().map(|(_, leaf)| AuditEntry::from_bytes(leaf).unwrap()).collect()
    }

    /// The orders that stand in the log, as often as they do.
    pub(crate) fn logged_orders(&self) -> Vec<Hash> {
        let order = |event| match event {
            Event::Order { order } => Some(order),
            _ => None,
        };
        self.audit().into_iter().filter_map(|entry| order(entry.event)).collect()
    }

    pub(crate) fn uses(&self) -> usize {
        self.watch.used_at.lock().unwrap().len()
    }
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) nodes: Vec<TestNode>,
    pub(crate) reply: ReplyKey,
    pub(crate) record: Option<KeyRecord>,
}

pub(crate) fn roster() -> Roster {
    let places = [("Alpenhost", "CH"), ("Nordic", "IS"), ("Hanse", "DE")];
    let node = |i: u16| NodeEntry {
        index: NodeIndex::new(i).unwrap(),
        name: format!("node-{i}").parse().unwrap(),
        endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
        provider: places[usize::from(i) - 1].0.parse().unwrap(),
        location: places[usize::from(i) - 1].1.parse().unwrap(),
        home: places[usize::from(i) - 1].1.parse().unwrap(),
        identity: public(i as u8),
    };
    let operator =
        |i: u8| OperatorEntry { name: format!("op-{i}").parse().unwrap(), key: public(100 + i) };
    Roster {
        cluster: "test".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: Millis(START),
        nodes: (1..=3).map(node).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: public(120),
        }],
        operators: (1..=3).map(operator).collect(),
        quorum: 2,
    }
}

pub(crate) fn cluster() -> Cluster {
    let mut signed = Signed::unsigned(roster().to_bytes());
    let fingerprint = quorate_types::roster::fingerprint(&signed.body);
    for n in [101, 102] {
        signed.sign(&key(n), Label::SIG_ROSTER, &fingerprint);
    }
    Cluster::verify(&fingerprint, &[SignedRoster(signed)]).unwrap()
}

pub(crate) const LIMITS: CoreLimits = CoreLimits {
    window: Duration::from_secs(30),
    replay_entries: 100,
    replay_entries_per_client: 50,
    cached_keys: 8,
    computing: 2,
};

impl World {
    /// Nodes that know nothing yet.
    pub(crate) fn empty() -> Self {
        Self::on(std::array::from_fn(|_| Arc::default()))
    }

    /// Nodes that know what is in their stores, started all at once.
    pub(crate) fn on(stores: [Arc<Spy>; 3]) -> Self {
        let clock = Arc::new(TestClock::new());
        let cluster = cluster();
        let started = (1..).zip(stores);
        let nodes = started.map(|(i, store)| start(&cluster, &clock, i, store, LIMITS)).collect();
        let reply = ReplyKey::generate(&mut UnwrapErr(SysRng));
        let world = Self { cluster, clock, nodes, reply, record: None };
        (0..3).for_each(|i| world.acquaint(i));
        world.nodes.iter().for_each(|n| n.store.commits.store(0, Ordering::SeqCst));
        world
    }

    /// What a coordinator does: brings node `i` the others' words, which ends its quarantine.
    pub(crate) fn acquaint(&self, i: usize) {
        let words = self.words(i);
        quarantine::hear(&self.nodes[i].core, &words).unwrap();
    }

    /// The words of the other nodes to node `i`.
    pub(crate) fn words(&self, i: usize) -> Vec<Vec<u8>> {
        let checkpoint = life::checkpoint(&self.nodes[i].core).to_bytes();
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != i);
        others.map(|(_, other)| witness::tell(&other.core, &checkpoint).unwrap()).collect()
    }

    /// A key that client 50 may use, born by a ceremony. Clients 50 and 51 are added.
    pub(crate) fn with_key() -> Self {
        let mut world = Self::empty();
        for (client, before) in [(50, None), (51, Some(50))] {
            let predecessor = before.map_or(Hash::default(), |b| world.add(b).hash());
            let order = world.signed(world.add_order(client, predecessor), &[101, 102]);
            for node in &world.nodes {
                orders::submit(&node.core, &order.to_bytes()).unwrap();
            }
        }
        world.record = Some(world.give_birth(&world.create(KEY, 1, Hash::default())));
        world
    }

    /// Starts node `i` again on what is in its store, and acquaints it.
    pub(crate) fn restart(&mut self, i: usize, limits: CoreLimits) {
        self.start_again(i, limits);
        self.acquaint(i);
    }

    /// Starts node `i` again, into its quarantine.
    pub(crate) fn start_again(&mut self, i: usize, limits: CoreLimits) {
        let store = Arc::clone(&self.nodes[i].store);
        self.nodes[i] = self.start_on(i, store, limits);
    }

    /// A process of node `i` on a store.
    pub(crate) fn start_on(&self, i: usize, store: Arc<Spy>, limits: CoreLimits) -> TestNode {
        start(&self.cluster, &self.clock, u16::try_from(i + 1).unwrap(), store, limits)
    }

    /// A node with identity `n` that knows a longer chain and nothing else.
    pub(crate) fn join(&self, cluster: &Cluster, n: u8) -> TestNode {
        start_as(key(n), cluster, &self.clock, Arc::default(), LIMITS)
    }

    pub(crate) fn add(&self, client: u8) -> VerifiedOrder {
        let predecessor = if client == 50 { Hash::default() } else { self.add(client - 1).hash() };
        let signed = self.signed(self.add_order(client, predecessor), &[101, 102]);
        VerifiedOrder::verify(&self.cluster, &signed).unwrap()
    }

    pub(crate) fn order(&self, action: Action, predecessor: Hash) -> Order {
        Order {
            fingerprint: *self.cluster.fingerprint(),
            roster_version: 1,
            roster_hash: self.cluster.roster_hash(),
            issued_at: Millis(START),
            expires_at: Millis(START + Millis::DAY),
            nonce: [3; 32],
            predecessor,
            action,
        }
    }

    pub(crate) fn add_order(&self, client: u8, predecessor: Hash) -> Order {
        let name = format!("client-{client}").parse().unwrap();
        self.order(Action::AddClient { name, client: public(client) }, predecessor)
    }

    pub(crate) fn signed(&self, order: Order, signers: &[u8]) -> SignedOrder {
        let mut signed = Signed::unsigned(order.to_bytes());
        for n in signers {
            signed.sign(&key(*n), Label::SIG_ORDER, self.cluster.fingerprint());
        }
        SignedOrder(signed)
    }

    /// An order for a key of all three, two of whom use it, granted to client 50.
    pub(crate) fn create(&self, name: &str, version: u32, predecessor: Hash) -> SignedOrder {
        self.create_for(2, name, version, predecessor)
    }

    /// The same, for another threshold.
    pub(crate) fn create_for(
        &self,
        threshold: u16,
        name: &str,
        version: u32,
        predecessor: Hash,
    ) -> SignedOrder {
        self.create_to(Purpose::Decrypt, threshold, name, version, predecessor)
    }

    /// The same, for another purpose.
    pub(crate) fn create_to(
        &self,
        purpose: Purpose,
        threshold: u16,
        name: &str,
        version: u32,
        predecessor: Hash,
    ) -> SignedOrder {
        let members =
            roster().nodes.into_iter().map(|n| Member { index: n.index, identity: n.identity });
        let create = CreateKey {
            name: name.parse().unwrap(),
            version: KeyVersion::new(version).unwrap(),
            suite: purpose.suite(),
            purpose,
            committee: Committee::new(members.collect(), threshold).unwrap(),
            q: 3,
            first_number: 1,
            grants: vec![Grant {
                client: public(50),
                name: "app".parse().unwrap(),
                expires_at: Millis(START + 90 * Millis::DAY),
            }],
            danger_concentrated: false,
            acknowledge_fragile: true,
            rights: Rights::NONE,
        };
        self.signed(self.order(Action::CreateKey(create), predecessor), &[101, 103])
    }

    /// Conducts a genesis through the nodes' drivers.
    pub(crate) fn give_birth(&self, order: &SignedOrder) -> KeyRecord {
        let order = VerifiedOrder::verify(&self.cluster, order).unwrap();
        let cluster = Arc::new(self.cluster.clone());
        let conductor = Conductor::new(cluster, order, Pace::default()).unwrap();
        self.conduct(conductor, |_| {})
    }

    /// The order that refreshes a key whose newest order is `before`.
    pub(crate) fn refresh_order(&self, born: &KeyRecord, before: &SignedOrder) -> SignedOrder {
        let before = VerifiedOrder::verify(&self.cluster, before).unwrap();
        let (terms, public) = (before.terms().unwrap(), &born.certificate.public);
        let to = Reshare {
            name: public.key.clone(),
            version: public.version,
            newest: public.version,
            suite: public.suite,
            purpose: public.purpose,
            public_key: *public.public_key(),
            committee: public.committee.clone(),
            q: terms.q,
            first_number: terms.numbers().end() + 1,
            grace: 0,
            repeat: None,
            danger_concentrated: terms.danger_concentrated,
            acknowledge_fragile: terms.acknowledge_fragile,
        };
        self.signed(self.order(Action::Reshare(to), before.hash()), &[101, 103])
    }

    /// Conducts a reshare through the nodes' drivers; `before` sees each request.
    pub(crate) fn move_shares(
        &self,
        order: &SignedOrder,
        descent: Descent,
        before: impl FnMut(&Ticket),
    ) -> KeyRecord {
        let order = VerifiedOrder::verify(&self.cluster, order).unwrap();
        let cluster = Arc::new(self.cluster.clone());
        let conductor =
            Conductor::reshare(cluster, order, Vec::new(), descent, Pace::default()).unwrap();
        self.conduct(conductor, before)
    }

    pub(crate) fn conduct(&self, conductor: Conductor, before: impl FnMut(&Ticket)) -> KeyRecord {
        match self.conduct_rounds(usize::MAX, conductor, before) {
            Some(Outcome::Born { record, .. } | Outcome::Moved { record, .. }) => *record,
            Some(Outcome::Failed { reason, .. }) => panic!("{reason}"),
            None => unreachable!("there is no end to the rounds"),
        }
    }

    /// At the most so many rounds; `None` if it is not over then.
    pub(crate) fn conduct_rounds(
        &self,
        rounds: usize,
        mut conductor: Conductor,
        mut before: impl FnMut(&Ticket),
    ) -> Option<Outcome> {
        for _ in 0..rounds {
            let now = self.clock.now().wall;
            for send in conductor.poll(now) {
                before(&send.ticket);
                let node = &self.nodes[usize::from(send.ticket.node.get()) - 1];
                let items = vec![send.request.to_vec()];
                let mut results = ceremonies::run(&node.core, send.ticket.step, &items).unwrap();
                match results.remove(0).outcome.unwrap() {
                    Answered::Done(bytes) => conductor.on_answer(&send.ticket, Ok(&bytes), now),
                    Answered::Fault(fault) => {
                        let code = u16::try_from(fault.code).unwrap();
                        let failure = Failure::Fault { code, message: fault.message };
                        conductor.on_answer(&send.ticket, Err(failure), now);
                    }
                }
            }
            if let Some(outcome) = conductor.outcome() {
                return Some(outcome.clone());
            }
        }
        None
    }

    pub(crate) fn record(&self) -> &KeyRecord {
        self.record.as_ref().unwrap()
    }

    fn key_point(&self) -> EncodedPoint {
        EncodedPoint::decode(self.record().certificate.public.public_key()).unwrap()
    }

    /// An item: a fresh encapsulation under the key and this context.
    pub(crate) fn item(&self, context: &EncryptionContext) -> Vec<u8> {
        self.item_for(self.cluster.fingerprint(), context)
    }

    /// As [`World::item`], made for another cluster's fingerprint.
    pub(crate) fn item_for(&self, cluster: &Fingerprint, context: &EncryptionContext) -> Vec<u8> {
        self.sealed_with(&self.header(cluster, KEY), cluster, context)
    }

    pub(crate) fn header(&self, cluster: &Fingerprint, key: &str) -> CiphertextHeader {
        let suite = Suite::Tdh2Ristretto255;
        CiphertextHeader::new(suite, cluster, key.parse().unwrap(), KeyVersion::FIRST)
    }

    /// A valid proof under this key and `cluster`, whatever the header says.
    pub(crate) fn sealed_with(
        &self,
        header: &CiphertextHeader,
        cluster: &Fingerprint,
        context: &EncryptionContext,
    ) -> Vec<u8> {
        let point = self.key_point();
        let binding = Binding::new(cluster.as_bytes(), KEY.as_bytes(), 1, &point);
        let (label, mut rng) = (context.label(), UnwrapErr(SysRng));
        let (kem, _) = tdh2::encapsulate(&binding, &label, &header.to_bytes(), &mut rng);
        CiphertextHead { header: header.clone(), kem: kem.to_bytes() }.to_bytes()
    }

    /// A good request of client 50 for one fresh item.
    pub(crate) fn ask(&self) -> Ask {
        self.ask_for(vec![self.item(&EncryptionContext::default())])
    }

    pub(crate) fn ask_for(&self, items: Vec<Vec<u8>>) -> Ask {
        let mut id = [0; 16];
        rand::Rng::fill_bytes(&mut UnwrapErr(SysRng), &mut id);
        let head = RequestHead {
            id: RequestId(id),
            issued_at: self.clock.now().wall,
            ttl: 10_000,
            client: public(50),
            key: KEY.parse().unwrap(),
            version: KeyVersion::FIRST,
            operation: Operation::Decrypt,
            context: EncryptionContext::default(),
            reply_key: self.reply.public(),
            prove: false,
            item_count: u16::try_from(items.len()).unwrap(),
            items_root: Hash(merkle_root(&items).unwrap()),
        };
        Ask { head, items, signer: 50, cluster: *self.cluster.fingerprint(), peer: 120 }
    }

    /// Brings a request to node `i`.
    pub(crate) fn bring(&self, i: usize, ask: &Ask) -> Result<Reply, Fault> {
        requests::answer(&self.nodes[i].core, &ask.incoming()).map(|answered| answered.reply)
    }

    /// Brings a request that must be refused with a signed refusal.
    pub(crate) fn refused(&self, i: usize, ask: &Ask) -> Refusal {
        match self.bring(i, ask).unwrap() {
            Reply::Sealed(..) => panic!("answered"),
            Reply::Refused(reason, bytes) => {
                let signed = SignedRefusal::from_bytes(&bytes).unwrap();
                let node = &self.nodes[i].core.me.identity;
                signed.verify(self.cluster.fingerprint(), node).unwrap();
                assert_eq!(signed.refusal.reason, reason);
                signed.refusal
            }
        }
    }

    /// Opens a sealed answer as the client would.
    pub(crate) fn open(&self, i: usize, reply: &Reply) -> (SealedAnswer, Answer) {
        let Reply::Sealed(bytes, _) = reply else { panic!("refused: {reply:?}") };
        self.open_bytes(&self.nodes[i].core.me, bytes)
    }

    /// As [`World::open`], for one sealed answer of `node`.
    pub(crate) fn open_bytes(&self, node: &NodeEntry, bytes: &[u8]) -> (SealedAnswer, Answer) {
        let sealed = SealedAnswer::from_bytes(bytes).unwrap();
        sealed.key.verify(self.cluster.fingerprint(), &node.identity).unwrap();
        let index = node.index;
        let info = SealedAnswer::session_info(self.cluster.fingerprint(), index, &public(50));
        let (key, encapsulated) = (&sealed.key.public, &sealed.encapsulated);
        let session = OpeningSession::new(&self.reply, key, encapsulated, &info).unwrap();
        let aad = SealedAnswer::associated_data(&sealed.request, index, &sealed.epoch);
        let opened = session.open(sealed.counter, &aad, &sealed.sealed).unwrap();
        let answer = Answer::from_bytes(&opened).unwrap();
        (sealed, answer)
    }
}

fn start(
    cluster: &Cluster,
    clock: &Arc<TestClock>,
    index: u16,
    store: Arc<Spy>,
    limits: CoreLimits,
) -> TestNode {
    start_as(key(u8::try_from(index).unwrap()), cluster, clock, store, limits)
}

fn start_as(
    identity: IdentityKey,
    cluster: &Cluster,
    clock: &Arc<TestClock>,
    store: Arc<Spy>,
    limits: CoreLimits,
) -> TestNode {
    let me = cluster.roster().node_by_identity(&identity.public()).unwrap().clone();
    let place = Place { cluster: cluster.clone(), me };
    let watch = Arc::new(Watch::default());
    *watch.store.lock().unwrap() = Some(Arc::clone(&store));
    let core = Core::new(
        place,
        identity,
        Arc::clone(&store) as Arc<dyn Store>,
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::clone(&watch) as Arc<dyn Evaluator>,
        limits,
        CancellationToken::new(),
    )
    .unwrap();
    startup::load(&core).unwrap();
    TestNode { core: Arc::new(core), store, watch }
}

/// A request before it is signed: change what you like.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) head: RequestHead,
    pub(crate) items: Vec<Vec<u8>>,
    pub(crate) signer: u8,
    pub(crate) cluster: Fingerprint,
    pub(crate) peer: u8,
}

impl Ask {
    pub(crate) fn incoming(&self) -> Incoming {
        let head = self.head.to_bytes();
        let signature = key(self.signer).sign(Label::SIG_REQUEST, self.cluster.as_bytes(), &head);
        Incoming {
            peer: public(self.peer),
            head,
            signature: signature.0.to_vec(),
            items: self.items.clone(),
            deadline: Instant::now() + Duration::from_secs(60),
        }
    }

    /// The same items under another id.
    pub(crate) fn again(&self, id: u8) -> Self {
        let mut ask = self.clone();
        ask.head.id = RequestId([id; 16]);
        ask
    }
}
