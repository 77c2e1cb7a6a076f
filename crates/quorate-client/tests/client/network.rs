//! Over the wire: the same fake nodes and coordinator behind real TLS and gRPC.

use crate::{
    cluster::{CLIENT, Coordinator, Fake, NOW, context, fake_of, genesis, key},
    node::Behaviour,
};
use quorate_client::{
    Client, ClientBuilder, Operator,
    home::{Home, NewHome, Role},
    operator::Via,
    transport::{Question, ReplyOutcome, Transport},
};
use quorate_crypto::{IdentityKey, Signature};
use quorate_rpc::{
    Class, Deadline, Fault, Server,
    v1::{
        self, keys_server::Keys, keys_server::KeysServer, node_server::Node,
        node_server::NodeServer, orders_server::Orders, orders_server::OrdersServer,
    },
};
use quorate_types::*;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, async_trait};

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

fn version(number: u32) -> Option<KeyVersion> {
    KeyVersion::new(number)
}

fn answer(node: u32, outcome: ReplyOutcome) -> v1::NodeAnswer {
    let outcome = match outcome {
        ReplyOutcome::Sealed(bytes) => v1::node_answer::Outcome::Sealed(bytes),
        ReplyOutcome::Refused(bytes) => v1::node_answer::Outcome::Refusal(bytes),
    };
    v1::NodeAnswer { node, outcome: Some(outcome), also: Vec::new() }
}

fn signature(bytes: &[u8]) -> Signature {
    Signature(bytes.try_into().unwrap())
}

struct WireCoordinator(Arc<Coordinator>);

#[async_trait]
impl Keys for WireCoordinator {
    async fn get_roster(
        &self,
        _: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        let version = Some(v1::ProtocolVersion::CURRENT);
        Ok(Response::new(v1::GetRosterResponse { version, rosters: self.0.rosters.clone() }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let request = request.into_inner();
        let name = request.name.parse().unwrap();
        let version = version(request.version);
        let records = self.0.key(name, version, request.fresh, deadline()).await?.remove(0);
        Ok(Response::new(v1::GetKeyResponse {
            record: records.birth,
            newest: records.newest,
            exports: records.exports,
        }))
    }

    async fn survey(
        &self,
        _: Request<v1::SurveyKeyRequest>,
    ) -> Result<Response<v1::SurveyKeyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        // Two pages of one key each.
        let at = usize::from(!request.into_inner().after.is_empty());
        let name = self.0.fake.keys[at].name.to_string();
        let next = if at == 0 { name.clone() } else { String::new() };
        let keys = vec![v1::KeySummary { name, ..Default::default() }];
        Ok(Response::new(v1::ListKeysResponse { keys, next }))
    }

    async fn key_state(
        &self,
        _: Request<v1::KeyStateRequest>,
    ) -> Result<Response<v1::KeyStateResponse>, Status> {
        Err(Status::unimplemented("an older release"))
    }

    async fn evaluate(
        &self,
        request: Request<v1::EvaluateRequest>,
    ) -> Result<Response<v1::EvaluateResponse>, Status> {
        let request = request.into_inner();
        let node = |i: u32| NodeIndex::new(i as u16).unwrap();
        let question = Question {
            head: request.head.into(),
            signature: signature(&request.signature),
            items: request.items.into(),
            committee: (1..=5).map(node).collect(),
            avoid: request.avoid.into_iter().map(node).collect(),
            want: request.want as usize,
        };
        let replies = self.0.evaluate(question, deadline()).await?;
        let failure = |(node, reason)| v1::NodeFailure { node, reason };
        Ok(Response::new(v1::EvaluateResponse {
            answers: replies.answers.into_iter().map(|r| answer(r.node, r.outcome)).collect(),
            failures: replies.failures.into_iter().map(failure).collect(),
        }))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let coordinator = self.0.party();
        Ok(Response::new(v1::StatusResponse { coordinator, ..Default::default() }))
    }
}

/// Takes any order, "makes" the key "demo", and says so in three steps.
struct WireOrders(Arc<Fake>);

#[async_trait]
impl Orders for WireOrders {
    type SubmitStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::OrderProgress, Status>>>;

    async fn submit(
        &self,
        _: Request<v1::SubmitOrderRequest>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        let step = |step: &str| v1::OrderProgress { step: step.into(), ..Default::default() };
        let record = self.0.keys[0].record(0).to_bytes();
        let done = v1::OrderProgress { record, ..step("done") };
        let steps = vec![Ok(step("deliver")), Ok(step("prepare")), Ok(done)];
        Ok(Response::new(tokio_stream::iter(steps)))
    }

    async fn deal(
        &self,
        _: Request<v1::OwnerDealingRequest>,
    ) -> Result<Response<v1::OwnerDealingResponse>, Status> {
        Err(Status::unimplemented("nobody imports here"))
    }

    async fn export(
        &self,
        _: Request<v1::ExportRequest>,
    ) -> Result<Response<v1::ExportResponse>, Status> {
        Err(Status::unimplemented("nobody exports here"))
    }

    async fn list(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        let after = request.into_inner().after;
        let orders = vec![self.0.keys[after as usize].order.to_bytes()];
        Ok(Response::new(v1::ListOrdersResponse { orders, next: (after + 1) % 2 }))
    }

    async fn heads(
        &self,
        request: Request<v1::HeadsRequest>,
    ) -> Result<Response<v1::HeadsResponse>, Status> {
        let order = &self.0.keys[0].order;
        let hash = quorate_types::order::order_hash(self.0.cluster.fingerprint(), &order.0.body);
        let (key_head, key_order) = match request.into_inner().key.as_str() {
            "" => (vec![], vec![]),
            "demo" => (hash.0.to_vec(), order.to_bytes()),
            "another" => (vec![7; 32], order.to_bytes()),
            _ => (vec![7; 32], vec![]),
        };
        Ok(Response::new(v1::HeadsResponse {
            policy_head: vec![0; 32],
            key_head,
            key_order,
            ..Default::default()
        }))
    }

    async fn get_roster(
        &self,
        _: Request<v1::RosterRequest>,
    ) -> Result<Response<v1::RosterResponse>, Status> {
        let rosters = vec![self.0.cluster.chain()[0].to_bytes()];
        Ok(Response::new(v1::RosterResponse { version: 1, rosters }))
    }

    async fn put_roster(
        &self,
        _: Request<v1::PutRosterRequest>,
    ) -> Result<Response<v1::PutRosterResponse>, Status> {
        Ok(Response::new(v1::PutRosterResponse { version: 1, missing: vec![] }))
    }
}

struct WireNode(Arc<Fake>, usize);

#[async_trait]
impl Node for WireNode {
    async fn evaluate(
        &self,
        request: Request<v1::NodeEvaluateRequest>,
    ) -> Result<Response<v1::NodeAnswer>, Status> {
        let request = request.into_inner();
        let behaviour = self.0.behaviours.lock().unwrap()[self.1];
        if behaviour == Behaviour::Down {
            return Err(Fault::unavailable("the node is down").into());
        }
        let signature = signature(&request.signature);
        let outcome =
            self.0.nodes[self.1].evaluate(behaviour, &request.head, &signature, &request.items);
        Ok(Response::new(answer(self.1 as u32 + 1, outcome)))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let request = request.into_inner();
        // Node 1 serves junk: the others outdo it.
        let record = if self.1 == 0 {
            vec![0; 100]
        } else {
            let honest = Coordinator::honest("node", &self.0);
            let name = request.name.parse().unwrap();
            honest.key(name, version(request.version), true, deadline()).await?.remove(0).birth
        };
        Ok(Response::new(v1::GetKeyResponse { record, ..Default::default() }))
    }

    async fn list_keys(
        &self,
        _: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn key_state(
        &self,
        _: Request<v1::KeyStateRequest>,
    ) -> Result<Response<v1::KeyStateResponse>, Status> {
        Err(Status::unimplemented("an older release"))
    }

    async fn status(
        &self,
        _: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeHealth>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn checkpoint(
        &self,
        _: Request<v1::CheckpointRequest>,
    ) -> Result<Response<v1::CheckpointResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn witness(
        &self,
        _: Request<v1::WitnessRequest>,
    ) -> Result<Response<v1::WitnessResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// The fake cluster on loopback ports. `coordinator` is the key that answers for it.
async fn served(coordinator: u8) -> Arc<Fake> {
    let mut roster = genesis();
    let mut listeners = Vec::new();
    for endpoint in (roster.nodes.iter_mut().map(|n| &mut n.endpoint))
        .chain(roster.coordinators.iter_mut().map(|c| &mut c.endpoint))
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        *endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        listeners.push(listener);
    }
    let fake = fake_of(&roster);
    let class = Class::new("test", 64, Duration::from_secs(1), Duration::from_secs(10));
    serve(&key(coordinator), listeners.pop().unwrap(), |s| {
        let keys = KeysServer::new(WireCoordinator(fake.coordinator("coordinator")));
        s.add_service(&class, keys)
            .add_service(&class, OrdersServer::new(WireOrders(Arc::clone(&fake))))
    });
    for (i, listener) in listeners.into_iter().enumerate() {
        let node = NodeServer::new(WireNode(Arc::clone(&fake), i));
        serve(&key(i as u8 + 1), listener, |s| s.add_service(&class, node));
    }
    fake
}

fn serve(
    identity: &IdentityKey,
    listener: TcpListener,
    services: impl FnOnce(quorate_rpc::ServerBuilder) -> quorate_rpc::ServerBuilder,
) {
    let server = services(Server::builder(identity).unwrap());
    // Dropping the handle ends nothing; the runtime's end does.
    drop(server.serve(listener, std::future::pending()).unwrap());
}

fn builder(fake: &Fake) -> ClientBuilder {
    Client::builder().identity(key(CLIENT)).cluster(fake.cluster.clone()).clock(|| NOW)
}

#[tokio::test]
async fn through_a_coordinator() {
    let fake = served(120).await;
    let client = builder(&fake).build().unwrap();
    let key = client.key("demo").await.unwrap();
    let ciphertext = key.encrypt(b"over the wire", &context()).unwrap();
    fake.behave(1, Behaviour::Down);
    fake.behave(2, Behaviour::Lies);
    let (plain, report) = client.decrypt_with_report(&ciphertext, &context()).await.unwrap();
    assert_eq!(&plain[..], b"over the wire");
    assert_eq!(report.liars[0].to_string(), "node-2 (CH)");
    assert_eq!(
        client.key("nobody").await.unwrap_err().to_string(),
        "the cluster has no key nobody"
    );
}

#[tokio::test]
async fn past_every_coordinator() {
    let fake = served(120).await;
    let client = builder(&fake).direct().build().unwrap();
    let key = client.key("demo").await.unwrap();
    let ciphertext = key.encrypt(b"straight", &context()).unwrap();
    for node in [4, 5] {
        fake.behave(node, Behaviour::Down);
    }
    let (plain, report) = client.decrypt_with_report(&ciphertext, &context()).await.unwrap();
    assert_eq!(&plain[..], b"straight");
    assert_eq!(report.nodes.len(), 3);
    fake.behave(1, Behaviour::Down);
    let error = client.decrypt(&ciphertext, &context()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("node-1 (DE) unreachable"), "{error}");
}

/// Whoever listens at the coordinator's address without its key is not talked to.
#[tokio::test]
async fn an_impostor_at_the_coordinators_address_is_told() {
    let fake = served(119).await;
    let client = builder(&fake).timeout(Duration::from_secs(5)).build().unwrap();
    let error = client.key("demo").await.unwrap_err();
    assert!(error.to_string().contains("does not prove the key"), "{error}");
}

/// An address in place of the roster's: any coordinator's key may answer there, no other.
#[tokio::test]
async fn another_address_for_the_coordinator() {
    let fake = served(120).await;
    let endpoint = fake.cluster.roster().coordinators[0].endpoint.clone();
    let client = builder(&fake).coordinator(endpoint).build().unwrap();
    assert!(client.key("demo").await.is_ok());
    let node = fake.cluster.roster().nodes[0].endpoint.clone();
    let client = builder(&fake).coordinator(node).build().unwrap();
    assert!(client.key("demo").await.is_err());
}

fn operator(
    fake: &Fake,
    via: &Via,
) -> Result<(tempfile::TempDir, Operator), quorate_client::Error> {
    let dir = tempfile::tempdir().unwrap();
    let new = NewHome {
        role: Role::Operator,
        cluster: &fake.cluster,
        identity: &key(101),
        passphrase: None,
        threshold: None,
        coordinators: Vec::new(),
    };
    Home::create(dir.path(), &new).unwrap();
    Operator::open(dir.path(), None, via).map(|operator| (dir, operator))
}

#[tokio::test]
async fn an_operator_reads_chains_and_lists() {
    let fake = served(120).await;
    let (_dir, operator) = operator(&fake, &Via::Coordinators).unwrap();
    let name = "demo".parse().unwrap();
    assert_eq!(operator.heads(None).await.unwrap().key, Hash::default());
    let heads = operator.heads(Some(&name)).await.unwrap();
    let head = heads.key_order.unwrap();
    assert_eq!((head.hash(), head.terms().unwrap().name), (heads.key, &name));
    // An order that is not the head of the chain is not taken for it.
    let refused = operator.heads(Some(&"another".parse().unwrap())).await.unwrap_err();
    assert!(refused.to_string().contains("not the head"), "{refused}");
    let unknown = operator.heads(Some(&"third".parse().unwrap())).await.unwrap();
    assert_eq!((unknown.key, unknown.key_order), (Hash([7; 32]), None));
    let orders = operator.orders().await.unwrap();
    assert_eq!(orders.len(), 2, "both pages");
    assert_eq!(operator.status().await.unwrap().coordinator, "coordinator");
    let keys: Vec<_> = operator.keys().await.unwrap().into_iter().map(|k| k.name).collect();
    assert_eq!(keys, ["demo", "other"]);
    assert_eq!(operator.key_record("demo").await.unwrap().public().key, name);
}

/// The key that comes back must be the one that was ordered, under this very order.
#[tokio::test]
async fn an_operator_believes_only_the_key_that_it_ordered() {
    let fake = served(120).await;
    let (_dir, operator) = operator(&fake, &Via::Coordinators).unwrap();
    let order = Order::from_bytes(&fake.keys[0].order.0.body).unwrap();
    let draft = operator.draft(order.action, Hash::default(), Duration::from_secs(3600));
    let mut signed = Signed::unsigned(draft.to_bytes());
    signed.sign(operator.identity(), quorate_crypto::hash::Label::SIG_ORDER, &draft.fingerprint);
    let mut steps = Vec::new();
    let result = operator.submit(&SignedOrder(signed), |p| steps.push(p.step.clone())).await;
    assert_eq!(steps, ["deliver", "prepare", "done"]);
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("another order"), "{error}");

    // An unsigned or expired order does not even leave.
    let unsigned = SignedOrder(Signed::unsigned(draft.to_bytes()));
    let error = operator.submit(&unsigned, |_| panic!("it was sent")).await.unwrap_err();
    assert!(error.to_string().contains("0 of the 1 operators"), "{error}");
    let error = operator.submit(&fake.keys[0].order, |_| panic!("it was sent")).await;
    assert!(error.unwrap_err().to_string().contains("not valid now"));
}

#[tokio::test]
async fn a_node_outside_the_roster_is_not_talked_to() {
    let fake = served(120).await;
    let stranger = Via::Node("127.0.0.1:1".parse().unwrap());
    let error = operator(&fake, &stranger).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no node of the roster listens at"), "{error}");
    let node = Via::Node(fake.cluster.roster().nodes[0].endpoint.clone());
    assert!(operator(&fake, &node).is_ok());
}
