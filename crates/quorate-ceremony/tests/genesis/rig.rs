//! Five nodes, a client, three operators, and a clock that the test turns.

use crate::disk::Disk;
use quorate_ceremony::*;
use quorate_crypto::{IdentityKey, PublicKey, hash::Label};
use quorate_types::*;
use rand::{SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const START: Millis = Millis(1_760_000_000_000);

pub(crate) const PACE: Pace =
    Pace { patience: 1_000, give_up: 10_000, retry_after: 250, answer_within: 2_000 };

pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

pub(crate) fn index(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

pub(crate) struct Node {
    pub(crate) key: IdentityKey,
    pub(crate) disk: Disk,
    pub(crate) log: Vec<Event>,
}

pub(crate) struct World {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) nodes: BTreeMap<NodeIndex, Node>,
    pub(crate) now: Millis,
    pub(crate) rng: StdRng,
}

/// What the network makes of a message; `None` lets it through.
pub(crate) type Meddled = Option<Result<Vec<u8>, Failure>>;

impl World {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::of(5, seed)
    }

    /// A cluster of up to nine nodes.
    pub(crate) fn of(size: u16, seed: u64) -> Self {
        let nodes = (1..=size).map(|i| {
            let key = key(i as u8);
            (index(i), Node { key, disk: Disk::default(), log: Vec::new() })
        });
        Self {
            cluster: Arc::new(cluster(&roster_of("test", size))),
            nodes: nodes.collect(),
            now: START,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// 3 of 5 with q = 5, changed as the test likes, signed by two of three operators.
    pub(crate) fn order(&self, change: impl FnOnce(&mut CreateKey)) -> VerifiedOrder {
        self.order_after(None, change)
    }

    pub(crate) fn order_after(
        &self,
        before: Option<&VerifiedOrder>,
        change: impl FnOnce(&mut CreateKey),
    ) -> VerifiedOrder {
        let signed = sign(&self.draft(before, change), &[101, 103]);
        VerifiedOrder::verify(&self.cluster, &signed).unwrap()
    }

    pub(crate) fn draft(
        &self,
        before: Option<&VerifiedOrder>,
        change: impl FnOnce(&mut CreateKey),
    ) -> Order {
        let mut create = create_key();
        if let Some(before) = before.and_then(VerifiedOrder::terms) {
            create.first_number = before.numbers().end() + 1;
        }
        change(&mut create);
        Order {
            fingerprint: *self.cluster.fingerprint(),
            roster_version: self.cluster.roster().version,
            roster_hash: self.cluster.roster_hash(),
            issued_at: self.now,
            expires_at: self.now.plus(Millis::DAY),
            nonce: [9; 32],
            predecessor: before.map(VerifiedOrder::hash).unwrap_or_default(),
            action: Action::CreateKey(create),
        }
    }

    pub(crate) fn conductor(&self, order: &VerifiedOrder) -> Conductor {
        Conductor::new(Arc::clone(&self.cluster), order.clone(), PACE).unwrap()
    }

    pub(crate) fn conductor_at(&self, order: &VerifiedOrder, number: u64) -> Conductor {
        let cluster = Arc::clone(&self.cluster);
        Conductor::starting_at(cluster, order.clone(), Vec::new(), number, PACE).unwrap()
    }

    /// One step at one node, as its driver does it.
    pub(crate) fn ask(
        &mut self,
        node: u16,
        step: StepKind,
        request: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let persisted = self.step(node, step, request)?;
        let node = self.nodes.get_mut(&index(node)).unwrap();
        node.disk.apply(&persisted.persist);
        node.log.extend(persisted.audit);
        persisted.send
    }

    /// The step without its effects: a driver that is killed before it persists.
    pub(crate) fn step(
        &mut self,
        node: u16,
        step: StepKind,
        request: &[u8],
    ) -> Result<Step, Fault> {
        let (subject, request) = Request::parse(step, request)?;
        let node = &self.nodes[&index(node)];
        let index = self.cluster.roster().node_by_identity(&node.key.public()).unwrap().index;
        let me = Me { cluster: &self.cluster, index, identity: &node.key };
        let state = node.disk.load(&subject);
        Ok(perform(&me, &subject, &state, &request, self.now, &mut self.rng))
    }

    /// As [`World::ask`], as a transport carries it.
    pub(crate) fn carry(&mut self, ticket: &Ticket, request: &[u8]) -> Result<Vec<u8>, Failure> {
        self.ask(ticket.node.get(), ticket.step, request)
            .map_err(|f| Failure::Fault { code: f.code(), message: f.to_string() })
    }

    /// Runs a conductor to its end.
    pub(crate) fn run(
        &mut self,
        conductor: &mut Conductor,
        mut meddle: impl FnMut(&mut Self, &Ticket, &[u8]) -> Meddled,
    ) -> Outcome {
        for _ in 0..10_000 {
            for send in conductor.poll(self.now) {
                let (ticket, request) = (send.ticket, &send.request);
                let answer =
                    meddle(self, &ticket, request).unwrap_or_else(|| self.carry(&ticket, request));
                let answer = answer.as_deref().map_err(Clone::clone);
                conductor.on_answer(&ticket, answer, self.now);
            }
            if let Some(outcome) = conductor.outcome() {
                return outcome.clone();
            }
            self.now = self.now.plus(250);
        }
        panic!("the conductor neither ends nor gives up: {:?}", conductor.progress());
    }

    /// A whole genesis with nobody in the way.
    pub(crate) fn conduct(&mut self, order: &VerifiedOrder) -> Outcome {
        let mut conductor = self.conductor(order);
        self.run(&mut conductor, |_, _, _| None)
    }

    /// Everybody's prepare answers for one number.
    pub(crate) fn prepare(&mut self, order: &VerifiedOrder, number: u64) -> Vec<PrepareAnswer> {
        (1..=5).map(|i| self.prepare_one(i, order, number).unwrap()).collect()
    }

    pub(crate) fn prepare_one(
        &mut self,
        node: u16,
        order: &VerifiedOrder,
        number: u64,
    ) -> Result<PrepareAnswer, Fault> {
        let bytes = self.ask(node, StepKind::Prepare, &prepare_request(order, number))?;
        match PrepareReply::from_bytes(&bytes).unwrap() {
            PrepareReply::Prepared(answer) => Ok(answer),
            other => panic!("expected a prepare answer, got {other:?}"),
        }
    }

    /// Everybody's dealings under one list.
    pub(crate) fn deal(&mut self, number: u64, answers: &[PrepareAnswer]) -> Vec<SignedDealing> {
        (1..=5).map(|i| self.deal_one(i, number, answers).unwrap()).collect()
    }

    pub(crate) fn deal_one(
        &mut self,
        node: u16,
        number: u64,
        answers: &[PrepareAnswer],
    ) -> Result<SignedDealing, Fault> {
        let request =
            DealRequest { subject: subject(number), answers: answers.to_vec(), dealers: all() };
        let bytes = self.ask(node, StepKind::Deal, &request.to_bytes())?;
        Ok(SignedDealing::from_bytes(&bytes).unwrap())
    }

    pub(crate) fn receive_one(
        &mut self,
        node: u16,
        request: &ReceiveRequest,
    ) -> Result<ReceiveAnswer, Fault> {
        let bytes = self.ask(node, StepKind::Receive, &request.to_bytes())?;
        Ok(ReceiveAnswer::from_bytes(&bytes).unwrap())
    }

    /// Everybody's receipts.
    pub(crate) fn receive(&mut self, request: &ReceiveRequest) -> Vec<Receipt> {
        let receipt = |answer| match answer {
            ReceiveAnswer::Receipt(receipt) => *receipt,
            ReceiveAnswer::Complaint(c) => panic!("a complaint: {c:?}"),
        };
        (1..=5).map(|i| receipt(self.receive_one(i, request).unwrap())).collect()
    }

    pub(crate) fn activate_one(
        &mut self,
        node: u16,
        order: &VerifiedOrder,
        certificate: &Certificate,
    ) -> Result<ActivateAnswer, Fault> {
        let (order, certificate) = (order.signed().clone(), certificate.clone());
        let request = ActivateRequest { order, certificate };
        let bytes = self.ask(node, StepKind::Activate, &request.to_bytes())?;
        Ok(ActivateAnswer::from_bytes(&bytes).unwrap())
    }

    /// An attempt up to its bundle.
    pub(crate) fn bundled(&mut self, order: &VerifiedOrder, number: u64) -> ReceiveRequest {
        let answers = self.prepare(order, number);
        let bundle = self.deal(number, &answers);
        ReceiveRequest { subject: subject(number), answers, bundle, parent: None }
    }

    /// An attempt up to its certificate.
    pub(crate) fn certified(&mut self, order: &VerifiedOrder, number: u64) -> Certificate {
        let request = self.bundled(order, number);
        certificate(&self.receive(&request))
    }

    pub(crate) fn state(&self, node: u16, number: u64) -> VersionState {
        self.nodes[&index(node)].disk.load(&subject(number))
    }

    pub(crate) fn disk(&mut self, node: u16) -> &mut Disk {
        &mut self.nodes.get_mut(&index(node)).unwrap().disk
    }

    pub(crate) fn plan(&self, order: &VerifiedOrder, number: u64) -> Plan {
        Plan::new(order.clone(), number).unwrap()
    }
}

pub(crate) fn prepare_request(order: &VerifiedOrder, number: u64) -> Vec<u8> {
    let order = order.signed().clone();
    PrepareRequest { order, earlier: Vec::new(), number, descent: None, scheduled: None }.to_bytes()
}

/// Receipts as they come, the first one's epoch.
pub(crate) fn certificate(receipts: &[Receipt]) -> Certificate {
    Certificate {
        public: receipts[0].public.clone(),
        receipts: receipts.iter().map(|r| r.signature).collect(),
    }
}

/// Everybody deals in a genesis.
pub(crate) fn all() -> Vec<NodeIndex> {
    (1..=5).map(index).collect()
}

pub(crate) fn subject(number: u64) -> Subject {
    Subject { key: "payroll/2026".parse().unwrap(), version: KeyVersion::FIRST, number }
}

pub(crate) fn born(outcome: Outcome) -> KeyRecord {
    match outcome {
        Outcome::Born { record, .. } => *record,
        Outcome::Failed { reason, .. } => panic!("no key was born: {reason}"),
        Outcome::Moved { .. } => panic!("shares have moved"),
    }
}

pub(crate) fn failed(outcome: Outcome) -> (FailReason, Vec<Culprit>, bool) {
    match outcome {
        Outcome::Failed { reason, culprits, burnt } => (reason, culprits, burnt),
        Outcome::Born { .. } | Outcome::Moved { .. } => panic!("an epoch was made"),
    }
}

/// The one culprit of a failed ceremony.
pub(crate) fn culprit(outcome: Outcome) -> (u16, Blame) {
    let (reason, mut culprits, burnt) = failed(outcome);
    assert!(!burnt);
    assert_eq!(culprits.len(), 1, "{culprits:?}");
    let culprit = culprits.remove(0);
    assert!(matches!(reason, FailReason::Culprit(c) if *c == culprit));
    (culprit.node.get(), culprit.blame)
}

pub(crate) fn sign(order: &Order, signers: &[u8]) -> SignedOrder {
    let mut signed = Signed::unsigned(order.to_bytes());
    for n in signers {
        signed.sign(&key(*n), Label::SIG_ORDER, &order.fingerprint);
    }
    SignedOrder(signed)
}

pub(crate) fn create_key() -> CreateKey {
    create_key_of(Suite::Tdh2Ristretto255)
}

pub(crate) fn create_key_of(suite: Suite) -> CreateKey {
    CreateKey {
        name: "payroll/2026".parse().unwrap(),
        version: KeyVersion::FIRST,
        suite,
        purpose: suite.purpose(),
        committee: committee(&[1, 2, 3, 4, 5], 3),
        q: 5,
        first_number: 1,
        grants: Vec::new(),
        danger_concentrated: false,
        acknowledge_fragile: false,
        rights: Rights::NONE,
    }
}

pub(crate) fn committee(nodes: &[u16], t: u16) -> Committee {
    let member = |i: &u16| Member { index: index(*i), identity: key(*i as u8).public() };
    Committee::new(nodes.iter().map(member).collect(), t).unwrap()
}

const PLACES: [(&str, &str); 9] = [
    ("Alpenhost", "CH"),
    ("Nordic", "IS"),
    ("Hanse", "DE"),
    ("Maple", "CA"),
    ("Sakura", "JP"),
    ("Fjord", "NO"),
    ("Straits", "SG"),
    ("Pampa", "UY"),
    ("Polder", "NL"),
];

/// Node `i` has key `i`, operators 101 to 103, the coordinator 120.
pub(crate) fn roster(name: &str) -> Roster {
    roster_of(name, 5)
}

pub(crate) fn roster_of(name: &str, size: u16) -> Roster {
    let node = |i: u16| {
        let (provider, country) = PLACES[usize::from(i - 1)];
        NodeEntry {
            index: index(i),
            name: format!("node-{i}").parse().unwrap(),
            endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
            provider: provider.parse().unwrap(),
            location: country.parse().unwrap(),
            home: country.parse().unwrap(),
            identity: key(i as u8).public(),
        }
    };
    let public = |n: u8| -> PublicKey { key(n).public() };
    let operator = |i: u8| OperatorEntry {
        name: format!("operator-{i}").parse().unwrap(),
        key: public(100 + i),
    };
    Roster {
        cluster: name.parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: START,
        nodes: (1..=size).map(node).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: public(120),
        }],
        operators: (1..=3).map(operator).collect(),
        quorum: 2,
    }
}

pub(crate) fn cluster(roster: &Roster) -> Cluster {
    let fingerprint = quorate_types::roster::fingerprint(&roster.to_bytes());
    Cluster::verify(&fingerprint, &[sign_roster(roster, &fingerprint)]).unwrap()
}

pub(crate) fn sign_roster(roster: &Roster, fingerprint: &Fingerprint) -> SignedRoster {
    let mut signed = Signed::unsigned(roster.to_bytes());
    [101, 102].iter().for_each(|n| signed.sign(&key(*n), Label::SIG_ROSTER, fingerprint));
    SignedRoster(signed)
}
