//! Tests of the fake hub itself.

mod manners;
mod misbehaviour;

use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;

use super::{
    Authorization, DOCKER_LIST, DOCKER_MANIFEST, FakeHub, Image, Kind, Layer, Listener, OCI_INDEX, OCI_MANIFEST,
};

const REPOSITORY: &str = "library/alpine";

/// Returns a hub with `library/alpine:latest` of one layer, and that layer.
fn hub_with_layer(size: u64) -> (FakeHub, Layer) {
    let hub = FakeHub::start();
    let layer = Layer::random(size, 7);
    hub.push_image(REPOSITORY, "latest", &Image::single(std::slice::from_ref(&layer)));
    (hub, layer)
}

fn client() -> Client {
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

async fn get(url: &str) -> Response {
    client().get(url).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn token_answer(hub: &FakeHub, login: Option<(&str, &str)>, repository: &str) -> Response {
    let realm = hub.host(Listener::Realm);
    let url = format!("http://{realm}/token?service=registry.fake&scope=repository:{repository}:pull");
    let request = client().get(url);
    let request = match login {
        Some((username, password)) => request.basic_auth(username, Some(password)),
        None => request,
    };
    request.send().await.unwrap()
}

async fn token(hub: &FakeHub, login: Option<(&str, &str)>, repository: &str) -> String {
    let body: Value = token_answer(hub, login, repository).await.json().await.unwrap();
    body["token"].as_str().unwrap().to_owned()
}

/// Sends a request to the registry with a new anonymous token.
async fn pull(hub: &FakeHub, path: &str) -> reqwest::Result<Response> {
    let token = token(hub, None, REPOSITORY).await;
    let accept = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].join(", ");
    let url = format!("{}/v2/{REPOSITORY}/{path}", hub.url());
    client().get(url).bearer_auth(token).header("accept", accept).send().await
}

/// Follows the redirect to the cdn without the token, as clients should.
async fn download(hub: &FakeHub, layer: &Layer, range: Option<&str>) -> reqwest::Result<Response> {
    let redirect = pull(hub, &format!("blobs/{}", layer.digest())).await?;
    let request = client().get(header(&redirect, "location"));
    match range {
        Some(range) => request.header("range", range).send().await,
        None => request.send().await,
    }
}
