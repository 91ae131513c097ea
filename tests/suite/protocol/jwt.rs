//! The bearer token: the caller in it, what it must not contain, and forged ones.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICES_PASSWORD, House, PAIR, PULL, no_member, said, served};
use crate::service::Service;

async fn token(service: &Service, username: &str, secret: &str) -> String {
    service.token(username, secret, PULL).await.json()["token"].as_str().unwrap().to_owned()
}

fn part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap()).unwrap()
}

#[actix_rt::test]
async fn it_names_the_principal_and_the_credential_and_holds_no_secret() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "mine", &PAIR).await;
    let group = house.service.group_token(&house.team, "bot", &PAIR).await;
    let alice = format!("user:{}", house.alice.id);
    let mut credentials = Vec::new();
    for (username, secret, principal) in [
        ("alice", ALICES_PASSWORD, alice.clone()),
        ("alice", &personal.secret, alice),
        ("bot", &group.secret, format!("group_token:{}", group.id)),
        (&house.ci.username, &house.ci.secret, format!("deploy_token:{}", house.ci.id)),
    ] {
        let token = token(&house.service, username, secret).await;
        let (header, claims) = (part(&token, 0), part(&token, 1));
        assert_eq!((&header["alg"], &header["typ"]), (&json!("HS256"), &json!("JWT")));
        assert_eq!(claims["sub"], principal);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("dependency-proxy"), &json!("dependency_proxy")));
        let second = |name: &str| claims[name].as_i64().unwrap();
        assert_eq!((second("exp") - second("iat"), second("iat") - second("nbf")), (3600, 5));
        let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["aud", "cred", "exp", "iat", "iss", "jti", "nbf", "sub"], "and nothing else");
        let text = format!("{token}{header}{claims}");
        assert!(!text.contains(secret) && !text.contains(&STANDARD.encode(secret)));
        credentials.push(claims["cred"].clone());
    }
    credentials.sort_by_key(ToString::to_string);
    credentials.dedup();
    assert_eq!(credentials.len(), 4, "each credential has an id of its own");
}

#[actix_rt::test]
async fn only_this_service_can_make_one() {
    let house = House::new().await;
    let good = token(&house.service, &house.ci.username, &house.ci.secret).await;
    let (header, claims) = (part(&good, 0), part(&good, 1));
    let keys: Value = serde_json::from_slice(&fs::read(house.service.data().join("jwt-keys")).unwrap()).unwrap();
    let secret = hex::decode(keys["keys"][0]["secret"].as_str().unwrap()).unwrap();
    let kid = header["kid"].as_str().unwrap().to_owned();
    let signed = |algorithm, kid: &str, key: &[u8], change: &[(&str, Value)]| {
        let mut claims = claims.clone();
        for (name, value) in change {
            claims[name] = value.clone();
        }
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        encode(&header, &claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let now = jiff::Timestamp::now().as_second();
    let ours = |change: &[(&str, Value)]| signed(Algorithm::HS256, &kid, &secret, change);
    let (body, signature) = (good.split('.').nth(1).unwrap(), good.rsplit('.').next().unwrap());
    let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "JWT", "kid": kid}).to_string());
    let forged = URL_SAFE_NO_PAD.encode({
        let mut claims = claims.clone();
        claims["sub"] = json!("user:1");
        claims.to_string()
    });
    let pull = async |token: &str| {
        let client = house.service.stranger().with_authorization(&format!("Bearer {token}"));
        client.manifest("team", "alpine", "latest").await.status
    };
    assert_eq!(pull(&ours(&[])).await, 200, "the key is the right one");
    for (case, token) in [
        ("no signature", format!("{none}.{body}.")),
        ("no algorithm", format!("{none}.{body}.{signature}")),
        ("another algorithm", signed(Algorithm::HS512, &kid, &secret, &[])),
        ("another key", signed(Algorithm::HS256, &kid, &[7; 32], &[])),
        ("another key's name", signed(Algorithm::HS256, "other", &secret, &[])),
        ("other claims", format!("{}.{forged}.{signature}", good.split('.').next().unwrap())),
        ("another audience", ours(&[("aud", json!("another_service"))])),
        ("another issuer", ours(&[("iss", json!("gitlab-issuer"))])),
        ("expired", ours(&[("exp", json!(now - 120))])),
        ("too early", ours(&[("nbf", json!(now + 120))])),
        ("an unknown credential", ours(&[("cred", json!("00000000000000000000000000000000"))])),
        ("half of it", good[..good.len() / 2].to_owned()),
    ] {
        assert_eq!(pull(&token).await, 401, "{case}");
    }
}

#[actix_rt::test]
async fn it_opens_the_registry_and_nothing_else() {
    let house = House::new().await;
    let root = token(&house.service, "root", "a-root-password").await;
    let stranger = house.service.stranger();
    let bearer = stranger.with_authorization(&format!("Bearer {root}"));
    assert_eq!(said(&bearer.manifest("team", "alpine", "latest").await), served());
    assert_eq!(bearer.get("/api/v4/user").await.status, 401);
    let private = stranger.request(Method::GET, "/api/v4/user").header("private-token", &root);
    assert_eq!(stranger.send(private).await.status, 401);
    let again = bearer.get(&format!("/jwt/auth?service=dependency_proxy{PULL}")).await;
    assert_eq!(again.status, 403, "a token is not given for a token");
}

#[actix_rt::test]
async fn tokens_of_the_api_open_the_token_endpoint_and_the_api() {
    let house = House::new().await;
    let api = house.service.personal_token(&house.alice, "api", &["api"]).await;
    assert_eq!(house.pull("alice", &api.secret, "team").await, served());
    let stranger = house.service.stranger();
    let user = stranger.with_authorization(&format!("Bearer {}", api.secret)).get("/api/v4/user").await;
    assert_eq!((user.status, user.json()["username"].as_str().unwrap()), (200, "alice"));
    for secret in [&house.ci.secret, ALICES_PASSWORD] {
        let request = stranger.request(Method::GET, "/api/v4/user").header("private-token", secret);
        assert_eq!(stranger.send(request).await.status, 401, "no deploy token, no password");
    }
}

#[actix_rt::test]
async fn clients_that_know_no_bearer_tokens_send_a_token_itself() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "mine", &PAIR).await;
    let (stranger, digest) = (house.service.stranger(), house.image.layers()[0].digest());
    for (username, secret) in [("any", &personal.secret), (house.ci.username.as_str(), &house.ci.secret)] {
        let direct = stranger.with_basic(username, secret);
        assert_eq!(said(&direct.manifest("team", "alpine", "latest").await), served());
        assert_eq!(said(&direct.blob("team", "alpine", digest).await), served());
    }
    let other = house.service.group("other").await;
    let direct = stranger.with_basic(&house.ci.username, &house.ci.secret);
    assert_eq!(said(&direct.manifest(&other.path, "alpine", "latest").await), no_member("other", "deploy token 'ci'"));
    let password = stranger.with_basic("alice", ALICES_PASSWORD);
    assert_eq!(password.manifest("team", "alpine", "latest").await.status, 401);
}
