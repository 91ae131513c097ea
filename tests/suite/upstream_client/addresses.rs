//! Allowed and forbidden targets of upstream's redirects and realms.

use dependency_proxy::upstream::UpstreamError;
use fake_registry::Kind;

use super::*;

#[tokio::test]
async fn redirects_to_addresses_that_are_not_public_are_refused() {
    let setup = Setup::new(1000);
    let client = setup.client();
    for target in [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/x",
        "http://127.0.0.1:1/x",
        "http://[::1]/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://2130706433/x",
        "http://0/x",
        "http://localhost/x",
    ] {
        setup.hub.on(Kind::BlobRedirect).times(1).redirect_to(target);
        let refused = error(client.blob(&anonymous(), &setup.layer(), 0).await);
        assert!(matches!(refused, UpstreamError::ForbiddenAddress { .. }), "{target}: {refused}");
    }
    assert_eq!(setup.hub.requests().at(Listener::Storage), 0);
}

#[tokio::test]
async fn a_realm_that_is_not_public_is_refused() {
    let setup = Setup::new(1000);
    for realm in ["http://169.254.169.254/token", "http://10.0.0.1/token", "http://localhost:1/token"] {
        setup.hub.realm_at(realm);
        let refused = error(setup.client().manifest(&anonymous(), &latest()).await);
        assert!(matches!(refused, UpstreamError::ForbiddenAddress { .. }), "{realm}: {refused}");
    }
}

#[tokio::test]
async fn link_local_is_refused_though_it_is_listed() {
    let setup = Setup::new(1000);
    setup.hub.on(Kind::BlobRedirect).redirect_to("http://169.254.169.254/x");
    let options = UpstreamOptions { redirect_hosts: hosts(&["169.254.169.254"]), ..setup.options() };
    let refused = error(client(options).blob(&anonymous(), &setup.layer(), 0).await);
    assert_eq!(refused, UpstreamError::ForbiddenAddress { host: "169.254.169.254".into() });
}

#[tokio::test]
async fn a_listed_name_may_lead_inside_and_another_port_of_it_not() {
    let setup = Setup::new(1000);
    setup.hub.storage_host("localhost");
    let with = |host: &str| client(UpstreamOptions { redirect_hosts: hosts(&[host]), ..setup.options() });
    let listed = setup.hub.host(Listener::Storage).replace("127.0.0.1", "localhost");
    let content = with(&listed).blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), setup.layer.bytes());
    let refused = error(with("localhost:1").blob(&anonymous(), &setup.layer(), 0).await);
    assert_eq!(refused, UpstreamError::ForbiddenAddress { host: "localhost".into() });
}

#[tokio::test]
async fn every_hop_is_checked_and_there_are_five() {
    let setup = Setup::new(1000);
    let again = format!("{}/v2/{REPOSITORY}/blobs/{}", setup.hub.url(), setup.layer.digest());
    setup.hub.on(Kind::BlobRedirect).times(4).redirect_to(&again);
    let content = setup.client().blob(&anonymous(), &setup.layer(), 0).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), setup.layer.bytes());
    setup.hub.on(Kind::BlobRedirect).times(5).redirect_to(&again);
    let refused = error(setup.client().blob(&anonymous(), &setup.layer(), 0).await);
    assert!(matches!(refused, UpstreamError::InvalidResponse { .. }), "{refused}");
    setup.hub.on(Kind::BlobRedirect).times(1).redirect_to(&again);
    setup.hub.on(Kind::BlobRedirect).times(1).redirect_to("http://10.0.0.1/");
    let refused = error(setup.client().blob(&anonymous(), &setup.layer(), 0).await);
    assert!(matches!(refused, UpstreamError::ForbiddenAddress { .. }), "{refused}");
}

#[tokio::test]
async fn addresses_with_credentials_or_of_another_kind_are_refused() {
    let setup = Setup::new(1000);
    let storage = setup.hub.host(Listener::Storage);
    for target in [format!("http://u:p@{storage}/x"), "ftp://example.com/x".into(), "file:///etc/passwd".into()] {
        setup.hub.on(Kind::BlobRedirect).times(1).redirect_to(&target);
        let refused = error(setup.client().blob(&anonymous(), &setup.layer(), 0).await);
        assert!(matches!(refused, UpstreamError::InvalidResponse { .. }), "{target}: {refused}");
    }
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named_by_its_key() {
    let options = with_connection(Setup::new(10).options(), |options| options.ca_file = Some("/nowhere".into()));
    let error = Registry::new(options).err().unwrap();
    assert_eq!(error.key, "ca_file");
    assert!(error.reason.contains("/nowhere cannot be read"), "{error}");
}

/// Starts a proxy that responds itself: with `{}` to manifests, and with a redirect to its own host to blobs.
async fn proxy(asked: tokio::sync::mpsc::UnboundedSender<String>) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = socket.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let status = if request.contains("/blobs/") { "307 Away" } else { "200 OK" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {}\r\nLocation: http://localhost:{port}/\r\n\
                 Content-Length: 2\r\nConnection: close\r\n\r\n{{}}",
                fake_registry::OCI_INDEX
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            asked.send(request).unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_proxy_may_stand_inside_and_resolves_the_names_itself() {
    let (asked, mut asked_of_proxy) = tokio::sync::mpsc::unbounded_channel();
    let port = proxy(asked).await;
    let proxy = format!("http://user:hunter2@localhost:{port}").parse().unwrap();
    let options = UpstreamOptions { url: "http://registry.invalid/path/".parse().unwrap(), ..docker_hub() };
    let options = with_connection(options, |options| options.proxy = HttpProxy::At(proxy));
    assert!(!format!("{options:?}").contains("hunter2"));
    let client = client(options);
    let content = client.manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), b"{}");
    let request = asked_of_proxy.recv().await.unwrap();
    let line = format!("GET http://registry.invalid/v2/path/{REPOSITORY}/manifests/latest HTTP/1.1\r\n");
    assert!(request.starts_with(&line), "{request}");
    let refused = error(client.blob(&anonymous(), &Digest::from_bytes([9; 32]), 0).await);
    assert_eq!(refused, UpstreamError::ForbiddenAddress { host: "localhost".into() });
}
