//! Tests of the fake registry itself.

mod manners;
mod misbehaviour;
mod speed;

use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;

use super::{
    Authorization, DOCKER_LIST, DOCKER_MANIFEST, FakeRegistry, Image, Kind, Layer, Listener, OCI_INDEX, OCI_MANIFEST,
};

const REPOSITORY: &str = "library/alpine";

/// Returns a registry with `library/alpine:latest` of one layer, and that layer.
fn registry_with_layer(size: u64) -> (FakeRegistry, Layer) {
    let registry = FakeRegistry::start();
    let layer = Layer::random(size, 7);
    registry.push_image(REPOSITORY, "latest", &Image::single(std::slice::from_ref(&layer)));
    (registry, layer)
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

async fn token_answer(registry: &FakeRegistry, login: Option<(&str, &str)>, repository: &str) -> Response {
    let realm = registry.host(Listener::Realm);
    let url = format!("http://{realm}/token?service=registry.fake&scope=repository:{repository}:pull");
    let request = client().get(url);
    let request = match login {
        Some((username, password)) => request.basic_auth(username, Some(password)),
        None => request,
    };
    request.send().await.unwrap()
}

async fn token(registry: &FakeRegistry, login: Option<(&str, &str)>, repository: &str) -> String {
    let body: Value = token_answer(registry, login, repository).await.json().await.unwrap();
    body["token"].as_str().unwrap().to_owned()
}

/// Sends a request to the registry with a new anonymous token.
async fn pull(registry: &FakeRegistry, path: &str) -> reqwest::Result<Response> {
    let token = token(registry, None, REPOSITORY).await;
    let accept = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].join(", ");
    let url = format!("{}/v2/{REPOSITORY}/{path}", registry.url());
    client().get(url).bearer_auth(token).header("accept", accept).send().await
}

/// Follows the redirect to the storage without the token, as clients should.
async fn download(registry: &FakeRegistry, layer: &Layer, range: Option<&str>) -> reqwest::Result<Response> {
    let redirect = pull(registry, &format!("blobs/{}", layer.digest())).await?;
    let request = client().get(header(&redirect, "location"));
    match range {
        Some(range) => request.header("range", range).send().await,
        None => request.send().await,
    }
}
