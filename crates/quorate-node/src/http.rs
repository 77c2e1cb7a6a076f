//! `GET /metrics` and `GET /healthz` over plain HTTP, for Prometheus and supervisors. It
//! tells no secret and takes no instruction; bind it to a private address.

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

/// What is shown.
pub(crate) trait Shown: Send + Sync + 'static {
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// Whether the node answers requests.
    fn healthy(&self) -> bool;
}

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, shown: Arc<dyn Shown>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: accepting again at once would spin.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (shown, stop) = (Arc::clone(&shown), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                // A scraper that is slow or hangs up is no event.
                _ = timeout(PATIENCE, one(stream, shown)) => {}
            }
        });
    }
}

async fn one(stream: TcpStream, shown: Arc<dyn Shown>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.uri().path(), &*shown);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = served.await;
}

fn respond(path: &str, shown: &dyn Shown) -> Response<String> {
    let (status, text) = match path {
        "/metrics" => (StatusCode::OK, shown.metrics()),
        "/healthz" if shown.healthy() => (StatusCode::OK, "ok\n".to_owned()),
        "/healthz" => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "try /metrics or /healthz\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
}
