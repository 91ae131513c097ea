//! The port without TLS. Looks at the first byte of a connection before HTTP does, because nothing there tells a client that
//! speaks TLS from noise, and its operator wants to know which setting is missing.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server};
use tokio::net::TcpStream;

use super::connections;
use super::socket::Socket;

/// Serves this application in the clear.
pub(super) fn listen<I, S, B>(
    server: ServerBuilder,
    listener: TcpListener,
    address: SocketAddr,
    patience: Duration,
    app: impl Fn() -> I + Send + Clone + 'static,
) -> io::Result<Server>
where
    I: IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<actix_http::Request, Config = AppConfig, Response = actix_web::dev::ServiceResponse<B>> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    B: MessageBody + 'static,
{
    let stopping = server.graceful_shutdown_signal();
    let told = Arc::new(Told::default());
    let server = server.listen("clients", listener, move || {
        let (stopping, told) = (stopping.clone(), told.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .local_addr(address)
            // Whoever closes waits for nothing any more, whatever it still waits for itself.
            .h1_allow_half_closed(false)
            .client_disconnect_timeout(Duration::from_secs(1))
            .h1_write_buffer_size(connections::ONE_PIECE)
            .on_connect_ext(|socket: &Socket, data| {
                connections::count(data);
                data.insert(socket.lane());
            });
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let looked_at = fn_service(move |connection: TcpStream| {
            let told = told.clone();
            async move {
                told.look_at(&connection).await;
                connection.set_nodelay(true)?;
                let peer = connection.peer_addr().ok();
                Ok::<_, DispatchError>((Socket::new(connection, patience), Protocol::Http1, peer))
            }
        });
        looked_at.and_then(http.finish(map_config(app, |_| AppConfig::default())))
    })?;
    Ok(server.run())
}

/// The clients whose mistake was told, at most [`MAX_TOLD`] of them.
#[derive(Default)]
struct Told(Mutex<HashSet<IpAddr>>);

const MAX_TOLD: usize = 1000;
/// For so long a connection may be silent before it is HTTP's business.
const PATIENCE: Duration = Duration::from_secs(5);
/// What every TLS connection begins with: the type of a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

impl Told {
    async fn look_at(&self, connection: &TcpStream) {
        let Ok(peer) = connection.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
        if !self.is_new(peer) {
            return;
        }
        let mut first = [0];
        let peeked = tokio::time::timeout(PATIENCE, connection.peek(&mut first)).await;
        if matches!(peeked, Ok(Ok(1))) && first[0] == TLS_HANDSHAKE && self.locked().insert(peer) {
            tell(peer);
        }
    }

    fn is_new(&self, peer: IpAddr) -> bool {
        let told = self.locked();
        told.len() < MAX_TOLD && !told.contains(&peer)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashSet<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(peer: IpAddr) {
    if peer.is_loopback() {
        // Docker tries TLS first even where it is allowed to go on without.
        tracing::info!(%peer, "a client on this machine spoke TLS to the plain port; some try that first");
    } else {
        tracing::warn!(
            %peer,
            "a client spoke TLS to the plain port. To serve TLS, set tls_certificate and tls_key in [server], or put a \
             proxy that does in front; to do without, tell the client that this registry is insecure"
        );
    }
}
