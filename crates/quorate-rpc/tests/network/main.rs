//! Attacks on a listening port, and what a good peer sees meanwhile.
//!
//! Limits are shortened so that the suite takes seconds; the defaults are those of
//! `Limits::default`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

mod calls;
mod floods;
mod identity;
mod lifetime;

use quorate_crypto::{IdentityKey, PublicKey};
use quorate_rpc::{
    Class, DialOptions, Dialer, Fault, Limits, MAX_REQUEST_BYTES, Peer, Server, ServerBuilder,
    ServerHandle, bounded,
    v1::{self, node_client::NodeClient, node_server::NodeServer},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::Channel};

type Client = NodeClient<Channel>;

fn identity(seed: u8) -> IdentityKey {
    IdentityKey::from_seed(&[seed; 32])
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A node that answers with the caller's key, after the time that the caller names.
#[derive(Clone, Default)]
struct Echo {
    calls: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl v1::node_server::Node for Echo {
    async fn evaluate(
        &self,
        request: Request<v1::NodeEvaluateRequest>,
    ) -> Result<Response<v1::NodeAnswer>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let peer = Peer::of(&request).ok_or_else(|| Status::internal("no peer"))?;
        let head = request.into_inner().head;
        if let Ok(millis) = <[u8; 8]>::try_from(&head[..]) {
            tokio::time::sleep(ms(u64::from_be_bytes(millis))).await;
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        let sealed = peer.key.as_bytes().to_vec();
        let outcome = Some(v1::node_answer::Outcome::Sealed(sealed));
        Ok(Response::new(v1::NodeAnswer { node: 1, outcome, also: Vec::new() }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let record = vec![7; request.into_inner().version as usize];
        Ok(Response::new(v1::GetKeyResponse { record, ..Default::default() }))
    }

    async fn list_keys(
        &self,
        _: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        Ok(Response::new(v1::ListKeysResponse::default()))
    }

    async fn key_state(
        &self,
        _: Request<v1::KeyStateRequest>,
    ) -> Result<Response<v1::KeyStateResponse>, Status> {
        Ok(Response::new(v1::KeyStateResponse::default()))
    }

    async fn status(
        &self,
        _: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeHealth>, Status> {
        Ok(Response::new(v1::NodeHealth::default()))
    }

    async fn checkpoint(
        &self,
        _: Request<v1::CheckpointRequest>,
    ) -> Result<Response<v1::CheckpointResponse>, Status> {
        Ok(Response::new(v1::CheckpointResponse::default()))
    }

    async fn witness(
        &self,
        _: Request<v1::WitnessRequest>,
    ) -> Result<Response<v1::WitnessResponse>, Status> {
        Ok(Response::new(v1::WitnessResponse::default()))
    }
}

/// A port with an [`Echo`] behind it.
struct Port {
    key: PublicKey,
    echo: Echo,
    handle: ServerHandle,
}

impl Port {
    async fn start(seed: u8, limits: Limits) -> Self {
        Self::with(seed, limits, &Class::requests(32), |builder| builder).await
    }

    async fn with(
        seed: u8,
        limits: Limits,
        class: &Class,
        more: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let echo = Echo::default();
        let service = bounded!(NodeServer::new(echo.clone()), MAX_REQUEST_BYTES);
        let builder = Server::builder(&identity(seed)).unwrap().limits(limits);
        let builder = more(builder.add_service(class, service));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let handle = builder.serve(listener, std::future::pending()).unwrap();
        Self { key: identity(seed).public(), echo, handle }
    }

    fn addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    fn calls(&self) -> usize {
        self.echo.calls.load(Ordering::SeqCst)
    }

    /// A client of its own connection.
    fn client(&self, seed: u8) -> Client {
        client(seed, self.addr(), self.key)
    }
}

fn channel(seed: u8, addr: SocketAddr, expected: PublicKey) -> Channel {
    let dialer = Dialer::new(&identity(seed), DialOptions::default()).unwrap();
    dialer.channel(&addr.to_string(), expected).unwrap()
}

fn client(seed: u8, addr: SocketAddr, expected: PublicKey) -> Client {
    bounded!(NodeClient::new(channel(seed, addr, expected)), 8 * 1024 * 1024)
}

/// Calls, and returns the key that the server saw.
async fn call(client: &mut Client) -> Result<Vec<u8>, Fault> {
    slow_call(client, 0).await
}

async fn slow_call(client: &mut Client, millis: u64) -> Result<Vec<u8>, Fault> {
    let head = millis.to_be_bytes().to_vec();
    let answer = client.evaluate(v1::NodeEvaluateRequest { head, ..Default::default() }).await?;
    match answer.into_inner().outcome {
        Some(v1::node_answer::Outcome::Sealed(key)) => Ok(key),
        other => panic!("unexpected {other:?}"),
    }
}
