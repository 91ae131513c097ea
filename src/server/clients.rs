//! How one connection of a client is served, in the clear or over TLS: the same HTTP/1 over either. Knows no route.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections;
use super::mistaken_tls::Told;
use super::sequence::Sequence;
use super::socket::Socket;
use super::unread::UnreadBudget;
use super::workers::{Serve, Stopping, Thread};

/// What all connections of a port have in common.
#[derive(Clone)]
pub(super) struct Port {
    /// Where it is.
    pub(super) address: SocketAddr,
    /// For so long a client may take no bytes, or not finish a request.
    pub(super) patience: Duration,
    /// Memory for what they send.
    pub(super) unread: UnreadBudget,
    /// How TLS is spoken, if it is.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// The clients that spoke TLS where it is not.
    pub(super) told: Told,
}

/// A TLS handshake may take so long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

impl Port {
    /// What serves this application on the present thread.
    pub(super) async fn serve<I, S, B>(self, app: I, Thread { stopping, idlers }: Thread) -> Serve
    where
        I: IntoServiceFactory<S, actix_http::Request> + 'static,
        S: ServiceFactory<actix_http::Request, Config = AppConfig, Response = actix_web::dev::ServiceResponse<B>>
            + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: std::fmt::Debug,
        B: MessageBody + 'static,
    {
        match self.tls.clone() {
            None => {
                let http = http(app, self.address, stopping).await;
                Box::new(move |tcp, peer| {
                    let (http, unread) = (http.clone(), self.unread.enter(peer.ip()));
                    let socket = Socket::new(tcp, self.patience).among(&idlers);
                    let socket = socket.look_at_first_byte(self.told.first_byte(peer.ip()));
                    Box::pin(async move {
                        let lane = socket.lane();
                        answer(&http, Sequence::new(socket, lane, unread), peer).await;
                    })
                })
            }
            Some(tls) => {
                let http = http::<TlsStream<Socket>, _, _, _>(app, self.address, stopping).await;
                let acceptor = TlsAcceptor::from(tls);
                Box::new(move |tcp, peer| {
                    let (http, unread) = (http.clone(), self.unread.enter(peer.ip()));
                    let socket = Socket::new(tcp, self.patience).among(&idlers);
                    let lane = socket.lane();
                    lane.encrypt();
                    let handshake = timeout(HANDSHAKE_WITHIN, acceptor.accept(socket));
                    Box::pin(async move {
                        // Whoever does not get that far is told so by TLS itself.
                        if let Ok(Ok(stream)) = handshake.await {
                            answer(&http, Sequence::new(stream, lane, unread), peer).await;
                        }
                    })
                })
            }
        }
    }
}

/// What answers the requests of connections, one after the other.
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
        .graceful_shutdown_signal(move || stopping.clone().told())
        .local_addr(address)
        // The socket itself gives up a client that wants nothing, without setting a clock at each answer.
        .keep_alive(KeepAlive::Os)
        // Nor is one that has sent nothing yet, or a part of a request, sent a response that it did not request.
        .client_request_timeout(Duration::ZERO)
        // Whoever sends no more may wait for its responses; the socket itself notices who is gone.
        .h1_allow_half_closed(true)
        .client_disconnect_timeout(Duration::from_secs(1))
        .h1_write_buffer_size(connections::ONE_PIECE)
        .on_connect_ext(|io: &Sequence<T>, data| {
            connections::count(data);
            data.insert(io.lane());
        });
    let app = app.into_factory().map_err(|error| error.into().error_response());
    let made = http.finish(map_config(app, |_| AppConfig::default())).new_service(()).await;
    Rc::new(made.unwrap_or_else(|()| unreachable!("an application is made of routes, which cannot fail")))
}

async fn answer<T>(
    http: &impl Service<(T, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
    io: T,
    peer: SocketAddr,
) {
    // What one client does wrong is no news; what goes wrong here was told where it did.
    let _ended = http.call((io, Protocol::Http1, Some(peer))).await;
}
