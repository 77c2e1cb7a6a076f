//! The gate in front of a service: a class's share of the machine, held over all
//! connections. tonic's own limit is per connection, so a thousand connections lift it.

use crate::{
    codec::blame_sender,
    deadline::Deadline,
    limits::Class,
    status::{Fault, FaultKind},
    version,
};
use http::{Request, Response};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

/// A service that is entered by permit.
#[derive(Debug, Clone)]
pub(crate) struct Gate<S> {
    class: Class,
    inner: S,
}

impl<S> Gate<S> {
    pub(crate) fn new(class: Class, inner: S) -> Self {
        Self { class, inner }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The instance that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let class = self.class.clone();
        Box::pin(async move {
            let stated = Deadline::stated(request.headers());
            let limit = stated.map_or(class.time_limit, |stated| stated.min(class.time_limit));
            let served = timeout(limit, async {
                version::check(request.headers())?;
                let _permit = class.enter(limit).await?;
                // Infallible: the answer is always a response.
                inner.call(request).await.map_err(|never| match never {})
            });
            let outcome = served.await.unwrap_or_else(|_| Err(class.too_slow()));
            let mut response = outcome.unwrap_or_else(|fault| Status::from(fault).into_http());
            blame_sender(response.headers_mut());
            Ok(response)
        })
    }
}

impl Class {
    /// Requests that were refused because the class was full.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits at most `max_wait`, and at most half of what the caller has left: what waits
    /// longer would mostly be answered too late.
    async fn enter(&self, limit: Duration) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.waiting.try_acquire().map_err(|_| self.full())?;
        let wait = self.max_wait.min(limit / 2);
        match timeout(wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.full()),
        }
    }

    fn full(&self) -> Fault {
        self.shed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let text = format!("too many calls of class {}: try again later", self.name);
        Fault::overloaded(text, self.max_wait.max(LEAST_PAUSE))
    }

    fn too_slow(&self) -> Fault {
        let text = format!("a call of class {} was not done in its time", self.name);
        Fault::new(FaultKind::DeadlineExceeded, text)
    }
}

/// Shorter pauses would only bring the crowd back at once.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
