//! The listening side: connections, their limits and timeouts, and a graceful end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

use super::address;
use super::limits::{BODY_TIMEOUT, BodyTimeout};
use super::patience::Patience;

/// What the clients together and each one may hold.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// At most this many connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// At most this many from one address (IPv6: one /64); further ones are closed. Loopback is exempt, where a
    /// reverse proxy or a load test may sit.
    pub connections_per_address: usize,
    /// For a request's head to be complete, and for the next request on an idle connection.
    pub header_timeout: Duration,
    /// For a request's whole body.
    pub body_timeout: Duration,
    /// For a client to take anything of what it is sent.
    pub write_timeout: Duration,
    /// For requests under way when shutdown begins.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            // Under the usual soft limit of 1,024 open files, with room for media and metrics.
            connections: 768,
            // A household or an office behind one address, not all of the server.
            connections_per_address: 128,
            // Encoders write the head at once; a line that needs longer cannot carry media either.
            header_timeout: Duration::from_secs(10),
            body_timeout: BODY_TIMEOUT,
            // Longer than any retransmission on a line that still works.
            write_timeout: Duration::from_secs(20),
            // The whole process has 2 s to stop.
            drain: Duration::from_secs(1),
        }
    }
}

/// Serves until `shutdown` is ready and the requests under way are answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_with(listener, router, ServeLimits::default(), shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let per_address = PerAddress::default();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accept = async {
            let slot = slots.clone().acquire_owned().await;
            (accept(&listener).await, slot)
        };
        let ((stream, peer), slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        let Some(share) = per_address.take(peer.ip(), limits.connections_per_address) else {
            tracing::debug!("connection closed: too many from one address");
            continue;
        };
        // Fails on a connection that is already gone; serving it then ends by itself.
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(connection(
            stream,
            Connected {
                router: router.clone(),
                peer,
                body_timeout: limits.body_timeout,
            },
            &limits,
        ));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop((slot, share));
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::debug!("some requests did not end in time");
    }
    connections.shutdown().await;
}

/// Waits out what is not the listener's fault: a client that left, or no free file descriptor.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

type Stream = TokioIo<Patience<TcpStream>>;

fn connection(stream: TcpStream, service: Connected, limits: &ServeLimits) -> Connection<Stream, Connected> {
    http1::Builder::new()
        // OBS looks for `Location:` in this spelling.
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // A request's head is far below; each connection may hold this much.
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(Patience::new(stream, limits.write_timeout)), service)
}

/// The router, for one connection: tells it who is at the other end and how long to wait for them.
struct Connected {
    router: Router,
    peer: SocketAddr,
    body_timeout: Duration,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Connected {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(BodyTimeout(self.body_timeout));
        self.router.clone().call(request)
    }
}

/// How many connections each address holds. Bounded by the number of connections.
#[derive(Clone, Default)]
struct PerAddress(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl PerAddress {
    fn take(&self, peer: IpAddr, most: usize) -> Option<Share> {
        let address = address::subscriber(peer.to_canonical());
        if address.is_loopback() {
            return Some(Share {
                counts: None,
                address,
            });
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Share {
            counts: Some(self.clone()),
            address,
        })
    }
}

/// One connection's place in the count, given back when dropped.
struct Share {
    counts: Option<PerAddress>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(PerAddress(counts)) = &self.counts else {
            return;
        };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_gets_its_share_of_connections_and_no_more() {
        let counts = PerAddress::default();
        let take = |peer: &str| counts.take(peer.parse().unwrap(), 2);
        let (one, _two) = (take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap());
        assert!(take("2001:db8::3").is_none(), "the same /64");
        assert!(take("2001:db8:0:1::1").is_some());
        drop(one);
        assert!(take("2001:db8::3").is_some());
    }

    #[test]
    fn loopback_has_no_share_and_nobody_is_remembered_for_ever() {
        let counts = PerAddress::default();
        let local: Vec<_> = (0..5)
            .map(|_| counts.take("::ffff:127.0.0.1".parse().unwrap(), 2).unwrap())
            .collect();
        drop((local, counts.take("192.0.2.1".parse().unwrap(), 2)));
        assert!(counts.0.lock().unwrap().is_empty());
    }
}
