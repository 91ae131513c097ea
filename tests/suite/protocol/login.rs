//! `/v2/` and `/jwt/auth`: the responses to logins and pulls.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::{ALICES_PASSWORD, House, PULL, WRONG, denied, no_member, refusal, said, served};
use crate::service::{Answer, Config, Service, eventually};

async fn post(service: &Service, form: &[(&str, &str)]) -> Answer {
    let client = service.stranger();
    client.send(client.request(Method::POST, "/jwt/auth").form(form)).await
}

#[actix_rt::test]
async fn the_base_says_whether_one_is_logged_in() {
    let house = House::new().await;
    let (service, stranger) = (&house.service, house.service.stranger());
    let challenge = format!("Bearer realm=\"{}/jwt/auth\",service=\"dependency_proxy\"", service.url());
    let invalid = format!("{challenge},error=\"invalid_token\"");
    for path in ["/v2/", "/v2"] {
        let answer = stranger.get(path).await;
        assert_eq!(said(&answer), refusal(401, "UNAUTHORIZED", "Log in first"), "{path}");
        assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
        for bad in ["Bearer not-a-token", "Bearer ", "Digest x", &format!("Bearer {}", house.ci.secret)] {
            let answer = stranger.with_authorization(bad).get(path).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, invalid.as_str()), "{bad}");
        }
        for good in [house.client.clone(), stranger.with_basic(&house.ci.username, &house.ci.secret)] {
            let answer = good.get(path).await;
            assert_eq!((said(&answer), answer.text().as_str()), (served(), "{}"), "{path}");
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        }
    }
    let password = stranger.with_basic("alice", ALICES_PASSWORD).get("/v2/").await;
    let sentence = "A password is accepted at a login only, at /jwt/auth. Log in first, or use a token as the password";
    assert_eq!(said(&password), refusal(401, "UNAUTHORIZED", sentence));
    assert_eq!(password.header("www-authenticate"), challenge);
}

#[actix_rt::test]
async fn a_token_is_answered_in_the_form_that_every_client_reads() {
    let house = House::new().await;
    let (username, secret) = (house.ci.username.as_str(), house.ci.secret.as_str());
    let form = [("grant_type", "password"), ("username", username), ("password", secret)];
    let more =
        [("service", "dependency_proxy"), ("scope", "repository:team/x:pull"), ("client_id", "containerd-client")];
    let docker = "&account=ci&client_id=docker&offline_token=true";
    let several = "&scope=repository:a/b:pull&scope=repository:team/x:pull";
    for (case, answer) in [
        ("GET for a login", house.service.token(username, secret, docker).await),
        ("GET for a pull", house.service.token(username, secret, PULL).await),
        ("GET with several scopes", house.service.token(username, secret, several).await),
        ("POST", post(&house.service, &[&form[..], &more[..]].concat()).await),
        ("POST without a service", post(&house.service, &form).await),
    ] {
        assert_eq!(said(&answer), served(), "{case}");
        let body = answer.json();
        assert!(body["token"].as_str().unwrap().split('.').count() == 3, "{case}");
        assert_eq!((&body["token"], &body["expires_in"]), (&body["access_token"], &json!(300)), "{case}");
        assert_eq!(body.as_object().unwrap().len(), 4, "{case}: nothing else, a refresh_token least of all");
        let issued: Timestamp = body["issued_at"].as_str().unwrap().parse().unwrap();
        let age = Timestamp::now().duration_since(issued).unsigned_abs();
        assert!(age < Duration::from_secs(60), "{case}: {issued}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[actix_rt::test]
async fn what_is_wrong_is_401_for_a_login_and_403_for_a_pull() {
    let house = House::new().await;
    let gitlab = "This is a GitLab token; this service has its own. Create a deploy token for the group here";
    let username = format!("Wrong username: deploy token 'ci' needs the username {}", house.ci.username);
    let mistyped = format!("{}x", house.ci.secret);
    for (user, secret, sentence) in [
        ("nobody-here", "a-password", WRONG),
        ("alice", "not-her-password", WRONG),
        ("", "", WRONG),
        (&house.ci.username, &mistyped, WRONG),
        ("alice", &house.ci.secret, &username),
        (&house.ci.username.to_uppercase(), &house.ci.secret, &username),
        ("alice", "glpat-abcdefghijklmnopqrst", gitlab),
        ("gitlab+deploy-token-1", "gldt-abcdefghijklmnopqrst", gitlab),
        ("gitlab-ci-token", "glcbt-64_abcdefghijklmnopqrst", gitlab),
    ] {
        let login = house.service.token(user, secret, "").await;
        assert_eq!(said(&login), refusal(401, "UNAUTHORIZED", sentence), "{user}, login");
        let pull = house.service.token(user, secret, PULL).await;
        assert_eq!(said(&pull), denied(sentence), "{user}, pull");
        let form = [("grant_type", "password"), ("username", user), ("password", secret)];
        assert_eq!(said(&post(&house.service, &form).await), denied(sentence), "{user}, form");
    }
    let malformed = house.service.stranger().with_authorization("Basic !!!");
    let login = malformed.get("/jwt/auth?service=dependency_proxy").await;
    assert_eq!(said(&login), refusal(401, "UNAUTHORIZED", WRONG));
    let twice = "/jwt/auth?service=dependency_proxy&scope=repository:a/b:pull&scope=repository:c/d:pull";
    assert_eq!(said(&malformed.get(twice).await), denied(WRONG), "several scopes are a pull too");
}

#[actix_rt::test]
async fn questions_that_are_none_are_refused_with_what_to_do() {
    let house = House::new().await;
    let (user, secret) = (house.ci.username.as_str(), house.ci.secret.as_str());
    let service = &house.service;
    let unknown = "There is no service 'registry.docker.io' here. Log in to this host again";
    let client = service.stranger().with_basic(user, secret);
    let answer = client.get("/jwt/auth?service=registry.docker.io").await;
    assert_eq!(said(&answer), refusal(404, "UNSUPPORTED", unknown));
    let only = refusal(400, "UNSUPPORTED", "Only grant_type=password is supported");
    for form in [
        &[("grant_type", "refresh_token"), ("refresh_token", "x")][..],
        &[("grant_type", "authorization_code"), ("code", "x")],
        &[("username", user), ("password", secret)],
        &[],
    ] {
        assert_eq!(said(&post(service, form).await), only, "{form:?}");
    }
    let nothing = denied("Credentials are needed here. Log in first, with a deploy token of the group for example");
    let stranger = service.stranger();
    assert_eq!(said(&stranger.get("/jwt/auth?service=dependency_proxy").await), nothing);
    assert_eq!(said(&stranger.get(&format!("/jwt/auth?service=dependency_proxy{PULL}")).await), nothing);
    assert_eq!(said(&post(service, &[("grant_type", "password"), ("username", user)]).await), nothing);
    for method in [Method::PUT, Method::DELETE] {
        let answer = client.send(client.request(method, "/jwt/auth")).await;
        let sentence = "Request a token with GET and HTTP Basic, or POST a form with grant_type=password";
        assert_eq!(said(&answer), refusal(405, "UNSUPPORTED", sentence));
        assert_eq!(answer.header("allow"), "GET, POST");
    }
}

#[actix_rt::test]
async fn public_groups_open_as_far_as_the_setting_says() {
    for (setting, outsider, nobody) in [("members", false, false), ("signed_in", true, false), ("anyone", true, true)] {
        let house = House::with(&format!("[auth]\npublic_groups = \"{setting}\"")).await;
        let open = house.service.group("open").await;
        house.change("PUT", &format!("/groups/{}", open.id), json!({"visibility": "public"})).await;
        house.service.user("mallory", "mallorys-own-password").await;
        let expected = |who: &str, allowed| if allowed { served() } else { no_member("open", who) };
        let mallory = house.pull("mallory", "mallorys-own-password", "open").await;
        assert_eq!(mallory, expected("mallory", outsider), "{setting}");
        let foreign = house.pull(&house.ci.username, &house.ci.secret, "open").await;
        assert_eq!(foreign, no_member("open", "deploy token 'ci'"), "{setting}: its own group and nothing else");
        assert_eq!(house.pull("mallory", "mallorys-own-password", "team").await, no_member("team", "mallory"));
        assert_eq!(house.pull("alice", "wrong", "open").await, denied(WRONG), "{setting}");
        let stranger = house.service.stranger();
        let token = stranger.get(&format!("/jwt/auth?service=dependency_proxy{PULL}")).await;
        assert_eq!(token.status == 200, nobody, "{setting}");
        if nobody {
            let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
            let stranger = stranger.with_authorization(&bearer);
            assert_eq!(said(&stranger.get("/v2/").await), served());
            assert_eq!(said(&stranger.manifest("open", "alpine", "latest").await), served());
            let private = said(&stranger.manifest("team", "alpine", "latest").await);
            assert_eq!(private, no_member("team", "somebody who is not logged in"));
        }
    }
}

#[actix_rt::test]
async fn a_proxy_that_is_not_trusted_is_told_of_once_and_not_believed() {
    let house = House::new().await;
    let stranger = house.service.stranger();
    let told = "put its address into trusted_proxies in [server]";
    assert_eq!(house.service.log().matches(told).count(), 0);
    for _ in 0..3 {
        let headers = stranger.request(Method::GET, "/v2/").header("x-forwarded-proto", "https");
        let answer = stranger.send(headers.header("x-forwarded-host", "evil.example")).await;
        let challenge = format!("Bearer realm=\"{}/jwt/auth\",service=\"dependency_proxy\"", house.service.url());
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    eventually("the line is logged", async || house.service.log().contains(told)).await;
    assert_eq!(house.service.log().matches(told).count(), 1);
    let trusting = Config::docker_hub(&house.hub).variable("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let trusting = trusting.start();
    let request = trusting.stranger().request(Method::GET, "/v2/").header("x-forwarded-proto", "https");
    let answer = trusting.stranger().send(request.header("x-forwarded-host", "cache.example")).await;
    assert!(answer.header("www-authenticate").starts_with("Bearer realm=\"https://cache.example/jwt/auth\""));
}
