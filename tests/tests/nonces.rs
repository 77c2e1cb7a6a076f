//! Nonces at real nodes, against whoever holds a client's key and keeps to no protocol: a pair
//! signs once, and never after a new start of the process that drew it.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

use quorate_client::{
    Client, Home, NodesTransport,
    transport::{BoxFuture, Question, Records, Replies, Reply, ReplyOutcome, Transport},
};
use quorate_crypto::{hash::Label, merkle::merkle_root};
use quorate_rpc::{Deadline, Fault, FaultKind};
use quorate_tests::Cluster;
use quorate_types::{
    EpochName, Format, Hash, KeyName, KeyVersion, Millis, Operation, RefusalReason, RequestHead,
    RequestId, SignedRefusal,
    signing::{MAX_NONCES, NonceOrder, SignItem},
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

/// The way to the nodes, with what was last asked to be signed kept; on demand it goes no further.
struct Tap {
    nodes: NodesTransport,
    kept: Mutex<Option<Question>>,
    holds_back: bool,
}

/// Whoever holds a client's key.
struct Attacker {
    home: Home,
    tap: Arc<Tap>,
    client: Client,
}

/// What a node did.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Answered,
    Refused(RefusalReason),
}

impl Transport for Tap {
    fn party(&self) -> String {
        self.nodes.party()
    }

    fn rosters(&self, deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        self.nodes.rosters(deadline)
    }

    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>> {
        self.nodes.key(name, version, fresh, deadline)
    }

    fn evaluate(
        &self,
        question: Question,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Replies, Fault>> {
        let head = RequestHead::from_bytes(&question.head).unwrap();
        if head.operation == Operation::Sign {
            *self.kept.lock().unwrap() = Some(question.clone());
            if self.holds_back {
                let fault = Fault::new(FaultKind::Unavailable, "held back");
                return Box::pin(async move { Err(fault) });
            }
        }
        self.nodes.evaluate(question, deadline)
    }
}

impl Attacker {
    fn of(cluster: &Cluster, holds_back: bool) -> Self {
        let home = Home::open(cluster.home("client")).unwrap();
        let identity = home.identity(None).unwrap();
        let nodes = NodesTransport::new(&identity, home.cluster().roster()).unwrap();
        let tap = Arc::new(Tap { nodes, kept: Mutex::default(), holds_back });
        let client = Client::builder().identity(identity).cluster(home.cluster().clone());
        let client = client.transport(tap.clone()).build().unwrap();
        Self { home, tap, client }
    }

    /// What was last asked to be signed.
    fn kept(&self) -> Question {
        self.tap.kept.lock().unwrap().clone().expect("something was to be signed")
    }

    /// A fresh request for such an item in place of what was kept, genuinely signed.
    fn ask(&self, like: &Question, change: impl Fn(&mut SignItem)) -> Question {
        let mut item = SignItem::from_bytes(&like.items[0]).unwrap();
        change(&mut item);
        self.request(like, Operation::Sign, item.to_bytes())
    }

    fn request(&self, like: &Question, operation: Operation, item: Vec<u8>) -> Question {
        let items = vec![item];
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let head = RequestHead {
            id: RequestId(since.as_nanos().to_be_bytes()),
            issued_at: Millis(since.as_millis().try_into().unwrap()),
            operation,
            items_root: Hash(merkle_root(&items).unwrap()),
            ..RequestHead::from_bytes(&like.head).unwrap()
        };
        let (head, fingerprint) = (head.to_bytes(), self.home.cluster().fingerprint());
        let identity = self.home.identity(None).unwrap();
        let signature = identity.sign(Label::SIG_REQUEST, fingerprint.as_bytes(), &head);
        Question { head: head.into(), signature, items: items.into(), ..like.clone() }
    }

    /// Has every node draw so many nonces.
    async fn draw(&self, like: &Question, count: u16) {
        let epoch = SignItem::from_bytes(&like.items[0]).unwrap().epoch;
        let order = NonceOrder { epoch, count }.to_bytes();
        let question = self.request(like, Operation::SignCommit, order);
        let want = question.committee.len();
        let replies = self.carry(Question { avoid: Vec::new(), want, ..question }).await;
        assert!(replies.answers.iter().all(|r| matches!(r.outcome, ReplyOutcome::Sealed(_))));
        assert_eq!(replies.answers.len(), want, "{:?}", replies.failures);
    }

    /// Over new connections.
    async fn carry(&self, question: Question) -> Replies {
        let roster = self.home.cluster().roster();
        let nodes = NodesTransport::new(&self.home.identity(None).unwrap(), roster).unwrap();
        nodes.evaluate(question, Deadline::after(Duration::from_secs(10))).await.unwrap()
    }

    /// Brings a question to the nodes; what each of the signers did.
    async fn bring(&self, question: Question) -> Vec<(u16, Did)> {
        let signers = signers(&question);
        let replies = self.carry(question).await;
        let did = |outcome: &ReplyOutcome| match outcome {
            ReplyOutcome::Sealed(_) => Did::Answered,
            ReplyOutcome::Refused(bytes) => {
                Did::Refused(SignedRefusal::from_bytes(bytes).unwrap().refusal.reason)
            }
        };
        let one = |r: &Reply| (u16::try_from(r.node).unwrap(), did(&r.outcome));
        let mut all: Vec<(u16, Did)> = replies.answers.iter().map(one).collect();
        all.sort_by_key(|(node, _)| *node);
        let who: Vec<u16> = all.iter().map(|(node, _)| *node).collect();
        assert_eq!(who, signers, "{:?}", replies.failures);
        all
    }
}

fn signers(question: &Question) -> Vec<u16> {
    let item = SignItem::from_bytes(&question.items[0]).unwrap();
    item.signers.iter().map(|s| s.node.get()).collect()
}

const GONE: Did = Did::Refused(RefusalReason::NonceGone);

fn with_a_key_that_signs() -> (Cluster, tokio::runtime::Runtime) {
    let cluster = Cluster::of(3).threshold(2).start();
    let create = ["key", "create", "release", "--suite", "frost-ed25519", "--client", "client"];
    assert!(cluster.operator(&create).status.success());
    (cluster, tokio::runtime::Runtime::new().unwrap())
}

/// Two messages under one pair are the beginning of the share.
#[test]
fn no_node_answers_twice_under_one_nonce_pair() {
    let (cluster, runtime) = with_a_key_that_signs();
    runtime.block_on(async {
        let attacker = Attacker::of(&cluster, false);
        attacker.client.sign("release", b"one").await.unwrap();
        let used = attacker.kept();
        let [a, b] = signers(&used)[..] else { panic!("two sign") };
        let again = attacker.bring(used.clone()).await;
        assert_eq!(again, [(a, GONE), (b, GONE)], "the same request, byte for byte");
        for change in [|_: &mut SignItem| {}, |item: &mut SignItem| item.message = b"two".into()] {
            let did = attacker.bring(attacker.ask(&used, change)).await;
            assert_eq!(did, [(a, GONE), (b, GONE)]);
        }
    });
}

/// What was drawn and not used ends with the process, at that node alone.
#[test]
fn a_handle_of_an_earlier_start_signs_nothing() {
    let (mut cluster, runtime) = with_a_key_that_signs();
    let attacker = runtime.block_on(async {
        let attacker = Attacker::of(&cluster, true);
        attacker.client.sign("release", b"one").await.unwrap_err();
        attacker
    });
    let unused = attacker.kept();
    let [a, b] = signers(&unused)[..] else { panic!("two sign") };
    cluster.kill(a);
    cluster.start_node(a);
    cluster.wait_until_serving();
    // So that the number of the old handle names a pair of the new start.
    runtime.block_on(attacker.draw(&unused, MAX_NONCES));
    let bring = || runtime.block_on(attacker.bring(attacker.ask(&unused, |_| {})));
    assert_eq!(bring(), [(a, GONE), (b, Did::Answered)]);
    assert_eq!(bring(), [(a, GONE), (b, GONE)]);
}

/// What was drawn for an epoch serves no other one, under whichever name it is asked for.
#[test]
fn nonces_end_with_their_epoch() {
    let (cluster, runtime) = with_a_key_that_signs();
    let (attacker, old) = runtime.block_on(async {
        let attacker = Attacker::of(&cluster, true);
        attacker.client.sign("release", b"one").await.unwrap_err();
        let old = attacker.client.key("release").await.unwrap().public().epoch;
        (attacker, old)
    });
    let unused = attacker.kept();
    let [a, b] = signers(&unused)[..] else { panic!("two sign") };
    assert!(cluster.operator(&["share", "refresh", "release"]).status.success());
    runtime.block_on(async {
        let new: EpochName =
            Attacker::of(&cluster, false).client.key("release").await.unwrap().public().epoch;
        assert_ne!(new, old);
        let did = attacker.bring(attacker.ask(&unused, |item| item.epoch = new)).await;
        assert_eq!(did, [(a, GONE), (b, GONE)]);
        let did = attacker.bring(attacker.ask(&unused, |_| {})).await;
        let no_share = || Did::Refused(RefusalReason::NoShare);
        assert_eq!(did, [(a, no_share()), (b, no_share())]);
    });
}
