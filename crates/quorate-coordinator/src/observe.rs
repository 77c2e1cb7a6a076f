//! The port for Prometheus and supervisors: `/metrics` and `/healthz` over plain HTTP.
//! It tells no secret and takes no instruction; bind it to a private address.

use crate::state::State;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Scrapers at once.
const CONNECTIONS: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until told to stop.
pub async fn observe(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: accepting again at once would spin.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _place = place;
            let _ = timeout(PATIENCE, serve(stream, state)).await;
        });
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(&request, &state)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A scraper that hangs up is no event.
    let _ = served.await;
}

fn respond<B>(request: &Request<B>, state: &State) -> Response<String> {
    match request.uri().path() {
        "/metrics" => {
            for index in state.nodes() {
                let reachable = state.pool.health(index).is_some_and(|h| h.reachable());
                state.metrics.node(index.get(), reachable, state.split(index).is_some());
            }
            Response::new(state.metrics.text())
        }
        "/healthz" => Response::new("ok\n".to_owned()),
        _ => {
            let mut response = Response::new("try /metrics or /healthz\n".to_owned());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}
