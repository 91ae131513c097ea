//! Traces over OTLP: the spans of pulls and of the requests to registries that they need, as a collector gets them; and
//! that neither a client nor a collector can do harm with them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use fake_registry::{Image, Kind, Layer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::metrics::metric;
use crate::service::{Answer, Client, Config, Scenario, Started, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A collector that keeps the spans that it gets.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    refuses: Arc<AtomicBool>,
}

impl Collector {
    fn start(&self) -> SocketAddr {
        let collector = self.clone();
        let app = move || {
            let collector = collector.clone();
            App::new().app_data(web::PayloadConfig::new(16 << 20)).route(
                "/v1/traces",
                web::post().to(move |body: web::Bytes| {
                    let answer = collector.take(&body);
                    async move { answer }
                }),
            )
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        actix_rt::spawn(server.run());
        address
    }

    fn take(&self, body: &[u8]) -> HttpResponse {
        if self.refuses.load(Ordering::Relaxed) {
            return HttpResponse::BadRequest().finish();
        }
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        HttpResponse::Ok().content_type("application/x-protobuf").body(Vec::new())
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Returns the spans of pulls with this cache outcome.
    fn pulls(&self, cache: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| attribute(span, "dependency_proxy.cache") == cache).collect()
    }

    /// Returns the spans that are parts of this one.
    fn children(&self, of: &Span) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.parent_span_id == of.span_id).collect()
    }
}

/// Returns an attribute as a text; empty if it is missing.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    if let Some(AnyValue::IntValue(number)) = value {
        return number.to_string();
    }
    if let Some(AnyValue::StringValue(text)) = value { text } else { String::new() }
}

fn settings(collector: SocketAddr) -> String {
    format!("[telemetry]\notlp_endpoint = \"http://{collector}\"\ntrace_percent = 100\n[cache]\ntag_freshness = \"1h\"")
}

async fn started(collector: &Collector) -> Started {
    let image = |seed| Image::single(&[Layer::random(3_000, seed)]);
    let settings = settings(collector.start());
    let scenario = Scenario::new().image("library/app", "1", &image(1)).image("library/app", "2", &image(2));
    scenario.settings(&settings).start().await
}

async fn pull_with(client: &Client, tag: &str, traceparent: &str) -> Answer {
    let path = format!("/v2/team/dependency_proxy/containers/app/manifests/{tag}");
    client.send(client.request(Method::GET, &path).header("traceparent", traceparent)).await
}

#[actix_rt::test]
async fn a_miss_has_its_upstream_request_as_a_part_and_a_hit_and_a_coalesced_pull_have_none() {
    let collector = Collector::default();
    let Started { hub, mut service, client, .. } = started(&collector).await;
    hub.on(Kind::ManifestGet).delay(Duration::from_secs(1));
    let (first, second) = tokio::join!(client.manifest("team", "app", "1"), client.manifest("team", "app", "1"));
    let mut words = [first.header("x-cache"), second.header("x-cache")];
    words.sort_unstable();
    assert_eq!(words, ["coalesced", "miss"]);
    assert_eq!(client.manifest("team", "app", "1").await.header("x-cache"), "hit");
    assert_eq!(client.manifest("team", "app", "none").await.status, 404);
    assert_eq!(service.stranger().manifest("team", "app", "1").await.status, 401);
    // What waits is sent at the stop.
    assert!(service.stop().success());

    let [miss, coalesced, hit, failed, refused] = ["miss", "coalesced", "hit", "failed", "refused"].map(|cache| {
        let mut spans = collector.pulls(cache);
        assert_eq!(spans.len(), 1, "{cache}: {:#?}", collector.spans());
        spans.remove(0)
    });
    for span in [&miss, &coalesced, &hit] {
        assert_eq!((span.name.as_str(), attribute(span, "dependency_proxy.group").as_str()), ("pull manifest", "team"));
        assert_eq!(attribute(span, "dependency_proxy.image"), "docker.io/library/app");
        assert_eq!(attribute(span, "dependency_proxy.reference"), "1");
        assert_eq!(attribute(span, "http.response.status_code"), "200");
        assert!(span.parent_span_id.is_empty(), "{span:#?}");
    }
    assert_eq!(attribute(&refused, "http.response.status_code"), "401");
    let parts = collector.children(&miss);
    assert_eq!(parts.len(), 1, "{parts:#?}");
    assert_eq!((parts[0].name.as_str(), &parts[0].trace_id), ("get manifest", &miss.trace_id));
    assert_eq!(attribute(&parts[0], "dependency_proxy.upstream"), "docker.io");
    assert_eq!(attribute(&parts[0], "http.response.body.size"), first.body.len().to_string());
    assert!(parts[0].start_time_unix_nano >= miss.start_time_unix_nano);
    assert!(collector.children(&coalesced).is_empty() && collector.children(&hit).is_empty());
    let of_failed = collector.children(&failed);
    assert_eq!(attribute(of_failed.last().unwrap(), "http.response.status_code"), "404");
    let text = format!("{:?}", collector.spans());
    assert!(!text.contains("127.0.0.1") && !text.contains(client.authorization()), "{text}");
}

#[actix_rt::test]
async fn the_traceparent_of_a_client_is_taken_over_with_its_flag() {
    let collector = Collector::default();
    let Started { hub: _hub, mut service, client, .. } = started(&collector).await;
    assert_eq!(pull_with(&client, "1", &format!("00-{TRACE}-{SPAN}-01")).await.status, 200);
    assert_eq!(pull_with(&client, "2", &format!("00-{TRACE}-{SPAN}-00")).await.status, 200);
    assert_eq!(pull_with(&client, "1", "nonsense").await.status, 200);
    assert!(service.stop().success());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let missed = collector.pulls("miss");
    assert_eq!(missed.len(), 1, "the other client did not want a trace: {missed:#?}");
    assert_eq!((hex(&missed[0].trace_id), hex(&missed[0].parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!(collector.children(&missed[0]).len(), 1);
    let hits = collector.pulls("hit");
    assert_eq!(hits.len(), 1);
    assert_ne!(hex(&hits[0].trace_id), TRACE);
}

#[actix_rt::test]
async fn the_download_of_a_blob_is_a_part_of_the_pull_that_began_it() {
    let collector = Collector::default();
    let layer = Layer::random(200_000, 3);
    let scenario = Scenario::new().image("library/app", "1", &Image::single(std::slice::from_ref(&layer)));
    let Started { hub: _hub, mut service, client, .. } = scenario.settings(&settings(collector.start())).start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    assert_eq!(client.blob("team", "app", layer.digest()).await.header("x-cache"), "miss");
    assert!(service.stop().success());
    let blob = collector.pulls("miss").into_iter().find(|span| span.name == "pull blob").unwrap();
    let parts = collector.children(&blob);
    assert_eq!(parts.len(), 1, "{parts:#?}");
    assert_eq!(
        (parts[0].name.as_str(), attribute(&parts[0], "http.response.body.size")),
        ("get blob", "200000".into())
    );
}

#[actix_rt::test]
async fn a_collector_that_fails_is_logged_once_and_pulls_go_on() {
    let collector = Collector::default();
    collector.refuses.store(true, Ordering::Relaxed);
    let Started { hub: _hub, mut service, client, .. } = started(&collector).await;
    let failed = "dependency_proxy_trace_spans_total{outcome=\"failed\"}";
    for round in 0..2 {
        let before = metric(&service, failed).await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200, "{round}");
        eventually("the spans are dropped", async || metric(&service, failed).await > before).await;
    }
    collector.refuses.store(false, Ordering::Relaxed);
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    eventually("a span arrives", async || !collector.spans().is_empty()).await;
    let of_collector =
        |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains("collector of traces"));
    assert_eq!(service.log_lines().iter().filter(|line| of_collector(line)).count(), 2);
    assert!(service.stop().success());
}

#[actix_rt::test]
async fn registries_get_no_traceparent() {
    let collector = Collector::default();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = heads.clone();
    actix_rt::spawn(async move {
        while let Ok((mut connection, _)) = upstream.accept().await {
            let mut head = vec![0; 8192];
            let length = connection.read(&mut head).await.unwrap_or_default();
            seen.lock().unwrap().push_str(&String::from_utf8_lossy(&head[..length]));
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    let mut service = Config::upstream_at("docker.io", &url).and(&settings(collector.start())).start();
    let team = service.group("team").await;
    let client = service.log_in_with(&service.deploy_token(&team, "ci").await).await;
    assert_eq!(pull_with(&client, "1", &format!("00-{TRACE}-{SPAN}-01")).await.status, 404);
    assert!(service.stop().success());
    let heads = heads.lock().unwrap().to_lowercase();
    assert!(heads.contains("/v2/library/app/manifests/1") && !heads.contains("trace"), "{heads}");
    assert_eq!(collector.pulls("failed").len(), 1);
}
