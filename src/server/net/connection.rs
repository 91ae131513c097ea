//! Service of one client connection, plain or over TLS, with the same HTTP/1 over either. Knows no routes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, KeepAlive, Protocol};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use metrics::Gauge;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::sequence::{Peer, Refuse, Sequence};
use super::socket::Socket;
use super::tls_on_plain_port::WarnedPeers;
use super::unread::UnreadBudget;
use super::workers::{Serve, Stopping, Thread};
use crate::http::EarlyRefusals;

/// Settings and state that all connections of a port share.
#[derive(Clone)]
pub(in crate::server) struct Port {
    /// The address on which the port listens.
    pub(in crate::server) address: SocketAddr,
    /// Maximum time for which a client may acknowledge nothing, leave a request unfinished, or be idle.
    pub(in crate::server) client_timeout: Duration,
    /// Memory for requests whose responses have not begun.
    pub(in crate::server) unread: UnreadBudget,
    /// The TLS configuration; `None` for plain HTTP.
    pub(in crate::server) tls: Option<Arc<ServerConfig>>,
    /// The peers that were warned about because they spoke TLS to the plain port.
    pub(in crate::server) warned: WarnedPeers,
    /// Responses to requests that no route gets.
    pub(in crate::server) early: EarlyRefusals,
}

/// Size of actix-http's write buffer per connection, in bytes. The next chunk of a body is requested only when less
/// than this waits for the kernel, so it bounds the memory that a slow client takes. It fits a head plus a small
/// body, which then leave in one write; apart, Nagle's algorithm and delayed acknowledgements add 40 ms.
const WRITE_BUFFER_BYTES: usize = 4096;

/// Maximum time of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

impl Port {
    /// Returns the function that serves connections with this application on the present thread.
    pub(in crate::server) async fn serve<I, S, B>(self, app: I, Thread { stopping, idlers, turns }: Thread) -> Serve
    where
        I: IntoServiceFactory<S, actix_http::Request> + 'static,
        S: ServiceFactory<actix_http::Request, Config = AppConfig, Response = actix_web::dev::ServiceResponse<B>>
            + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: std::fmt::Debug,
        B: MessageBody + 'static,
    {
        let early = self.early.clone();
        let refuse: Refuse = Arc::new(move |fault, start, peer| early.respond(fault, start, peer));
        actix_rt::spawn(turns.clone().admit());
        match self.tls.clone() {
            None => {
                let http = http(app, self.address, stopping).await;
                Box::new(move |tcp, peer| {
                    let (http, unread) = (http.clone(), self.unread.enter(peer.ip()));
                    let socket = Socket::new(tcp, self.client_timeout).among(&idlers).in_turns(&turns);
                    let socket = socket.check_first_byte(self.warned.first_byte(peer.ip()));
                    let refusing = Peer { address: peer.ip(), refuse: refuse.clone() };
                    let turns = turns.clone();
                    Box::pin(async move {
                        let queue = socket.queue();
                        let sequence = Sequence::new(socket, queue.clone(), unread, refusing);
                        turns.take(&queue, serve_connection(&http, sequence, peer)).await;
                    })
                })
            }
            Some(tls) => {
                let http = http::<TlsStream<Socket>, _, _, _>(app, self.address, stopping).await;
                let acceptor = TlsAcceptor::from(tls);
                Box::new(move |tcp, peer| {
                    let (http, unread) = (http.clone(), self.unread.enter(peer.ip()));
                    let socket = Socket::new(tcp, self.client_timeout).among(&idlers).in_turns(&turns);
                    let queue = socket.queue();
                    queue.encrypt();
                    let refusing = Peer { address: peer.ip(), refuse: refuse.clone() };
                    let handshake = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
                    let turns = turns.clone();
                    Box::pin(async move {
                        // A failed handshake is reported to the client by TLS itself.
                        if let Ok(Ok(stream)) = handshake.await {
                            let sequence = Sequence::new(stream, queue.clone(), unread, refusing);
                            turns.take(&queue, serve_connection(&http, sequence, peer)).await;
                        }
                    })
                })
            }
        }
    }
}

/// Builds the HTTP service, which responds to the requests of a connection one after the other.
async fn http<T, I, S, B>(
    app: I,
    address: SocketAddr,
    stopping: Stopping,
) -> Rc<impl Service<(Sequence<T>, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    I: IntoServiceFactory<S, actix_http::Request> + 'static,
    S: ServiceFactory<actix_http::Request, Config = AppConfig, Response = actix_web::dev::ServiceResponse<B>> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    B: MessageBody + 'static,
{
    let http = HttpService::build()
        .graceful_shutdown_signal(move || stopping.clone().requested())
        .local_addr(address)
        // The socket itself closes idle connections. actix's own timer would have to be set at every response.
        .keep_alive(KeepAlive::Os)
        // An idle client, or one with an unfinished request, is not sent a 408 response that it did not request.
        .client_request_timeout(Duration::ZERO)
        // A client that sends no more may wait for its responses. The socket itself notices when it is gone.
        .h1_allow_half_closed(true)
        .client_disconnect_timeout(Duration::from_secs(1))
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_connect_ext(|io: &Sequence<T>, data| {
            count(data);
            data.insert(io.queue());
        });
    let app = app.into_factory().map_err(|error| error.into().error_response());
    let made = http.finish(map_config(app, |_| AppConfig::default())).new_service(()).await;
    Rc::new(made.unwrap_or_else(|()| unreachable!("an application is made of routes, which cannot fail")))
}

async fn serve_connection<T>(
    http: &impl Service<(T, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
    io: T,
    peer: SocketAddr,
) {
    // Errors of one client are not logged, and failures of this service are logged where they occur.
    let _ = http.call((io, Protocol::Http1, Some(peer))).await;
}

static OPEN: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("dependency_proxy_connections"));

/// One open connection, counted until it is dropped with the connection's data.
struct Counted;

/// Counts the connection that this data belongs to, until it ends.
fn count(data: &mut Extensions) {
    OPEN.increment(1);
    data.insert(Counted);
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.decrement(1);
    }
}
