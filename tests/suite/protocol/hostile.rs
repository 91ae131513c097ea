//! Requests that no client sends: each is refused with a 4xx, never a 5xx, and the service continues.

use std::thread;

use super::raw::{RawAnswer, exchange, request};
use super::{House, PULL, said, served};
use crate::service::ADMIN_TOKEN;

const HOME: &str = "/v2/team/dependency_proxy/containers";

/// Sends these one after another. Returns the responses with their cases.
async fn send(house: &House, requests: Vec<(String, Vec<u8>)>) -> Vec<(String, Option<RawAnswer>)> {
    let address = house.service.address;
    let sent = move || requests.into_iter().map(|(case, bytes)| (case, exchange(address, &bytes))).collect();
    actix_rt::task::spawn_blocking(sent).await.unwrap()
}

fn bearer(house: &House) -> String {
    house.client.authorization().to_owned()
}

/// Checks that the service still serves requests, and that no error of its own was logged.
async fn goes_on(house: &House) {
    assert_eq!(house.pull(&house.ci.username, &house.ci.secret, "team").await, served());
    assert!(!house.service.log().contains("panicked"), "{}", house.service.log());
}

#[actix_rt::test]
async fn paths_of_every_bad_kind_are_4xx_json() {
    let house = House::new().await;
    let bearer = bearer(&house);
    let long = "a/".repeat(8000);
    let dots = "../".repeat(50);
    let paths = [
        format!("{HOME}/../../../etc/passwd/manifests/latest"),
        format!("{HOME}/%2e%2e/%2e%2e/manifests/latest"),
        format!("{HOME}/..%2f..%2f/manifests/latest"),
        format!("{HOME}/alpine/manifests/..%2f..%2flatest"),
        format!("{HOME}/alpine/manifests/..%5c..%5clatest"),
        format!("{HOME}/alpine/blobs/sha256:..%2f..%2f..%2fidentity"),
        format!("{HOME}/alpine/blobs/sha256:{}%00", "0".repeat(63)),
        format!("{HOME}/al%00pine/manifests/latest"),
        format!("{HOME}/al%0d%0aX-Evil:%201/manifests/latest"),
        format!("{HOME}/%ff%fe%80/manifests/latest"),
        format!("{HOME}/alpine/manifests/%ff"),
        format!("{HOME}/alpine/manifests/%"),
        format!("{HOME}/alpine/manifests/%zz"),
        format!("{HOME}/alpine/manifests/%252e%252e"),
        format!("{HOME}/alp%C3%A4ne/manifests/latest"),
        format!("{HOME}/{long}manifests/latest"),
        format!("{HOME}/{dots}manifests/latest"),
        format!("{HOME}/alpine/manifests/{}", "x".repeat(10_000)),
        format!("/v2/{long}"),
        format!("/v2/{dots}"),
        format!("/v2/{}/dependency_proxy/containers/alpine/manifests/latest", "g/".repeat(300)),
        "/v2/%2e%2e/dependency_proxy/containers/alpine/manifests/latest".to_owned(),
        "/v2//dependency_proxy/containers/alpine/manifests/latest".to_owned(),
        "/v2/team/dependency_proxy/containers/dependency_proxy/containers/".to_owned(),
        "/v2/%0a".to_owned(),
        "/v2/%ff".to_owned(),
        format!("{HOME}/alpine/manifests/latest?ns=%ff%fe"),
        format!("{HOME}/alpine/manifests/latest?ns={}", "a.".repeat(5000)),
        format!("{HOME}/alpine/manifests/latest?ns=a%0d%0ab"),
    ];
    let requests = paths.iter().map(|path| (path.clone(), request("GET", path, &[("Authorization", &bearer)])));
    for (path, answer) in send(&house, requests.collect()).await {
        let answer = answer.unwrap_or_else(|| panic!("no answer: {path}"));
        assert!((400..500).contains(&answer.status), "{} {path}", answer.status);
        assert!(!answer.code().is_empty(), "{path}");
        assert!(answer.header("x-evil").is_empty(), "{path}");
    }
    assert_eq!(house.hub.requests().total(), 0, "none of this is sent anywhere");
    goes_on(&house).await;
}

#[actix_rt::test]
async fn headers_of_every_bad_kind_are_4xx_json() {
    let house = House::new().await;
    let bearer = bearer(&house);
    let path = format!("{HOME}/alpine/manifests/latest");
    let huge = format!("Bearer {}", "x".repeat(20_000));
    let dots = format!("Bearer {}", ".".repeat(2000));
    let cases: [(&str, Vec<(&str, &str)>); 11] = [
        ("two credentials", vec![("Authorization", &bearer), ("Authorization", "Basic YTpi")]),
        ("the same twice", vec![("Authorization", &bearer), ("Authorization", &bearer)]),
        ("a huge bearer", vec![("Authorization", &huge)]),
        ("dots", vec![("Authorization", &dots)]),
        ("basic without a colon", vec![("Authorization", "Basic YWxpY2U=")]),
        ("basic that is no UTF-8", vec![("Authorization", "Basic /////w==")]),
        ("basic that is no base64", vec![("Authorization", "Basic \u{1}\t!")]),
        ("an empty one", vec![("Authorization", "")]),
        ("bytes that are no ASCII", vec![("Authorization", "Bearer \u{fc}\u{fc}")]),
        ("a realm in the host", vec![("Host", "evil\",realm=\"x")]),
        ("another scheme", vec![("Authorization", "Negotiate abc")]),
    ];
    let requests = cases.iter().map(|(case, headers)| ((*case).to_owned(), request("GET", &path, headers)));
    for (case, answer) in send(&house, requests.collect()).await {
        let answer = answer.unwrap_or_else(|| panic!("no answer: {case}"));
        assert!((400..500).contains(&answer.status), "{} {case}", answer.status);
        assert!(answer.header("www-authenticate").iter().all(|challenge| !challenge.contains("evil")), "{case}");
        if answer.status == 401 {
            assert_eq!(answer.code(), "UNAUTHORIZED", "{case}");
        }
    }
    let odd =
        [("Range", "bytes=\u{fc}-"), ("If-Range", "\u{fc}"), ("X-Forwarded-For", "\u{fc}, 1"), ("Accept", "\u{fc}")];
    let headers: Vec<_> = odd.into_iter().chain([("Authorization", bearer.as_str())]).collect();
    let answers = send(&house, vec![("odd".to_owned(), request("GET", &path, &headers))]).await;
    assert_eq!(answers[0].1.as_ref().map(|answer| answer.status), Some(200), "headers that do not matter do no harm");
    goes_on(&house).await;
}

#[actix_rt::test]
async fn what_is_no_http_ends_without_harm() {
    let house = House::new().await;
    let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let many = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let cases = [
        ("binary", binary),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("bad UTF-8 in the target", b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()),
        ("a header without an end", [&b"GET /v2/ HTTP/1.1\r\nX: "[..], &[b'x'; 300_000]].concat()),
        ("too many headers", format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n").into_bytes()),
        (
            "two lengths",
            b"POST /jwt/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".to_vec(),
        ),
        (
            "a length and chunks",
            b"POST /jwt/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
        ),
        ("a negative length", b"POST /jwt/auth HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec()),
        ("no version", b"GET /v2/\r\n\r\n".to_vec()),
    ];
    // Each on a thread, because the service waits a while for some of them to continue.
    let address = house.service.address;
    let sent = cases.map(|(case, bytes)| thread::spawn(move || (case, exchange(address, &bytes))));
    for thread in sent {
        let (case, answer) = actix_rt::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{case}");
    }
    goes_on(&house).await;
}

#[actix_rt::test]
async fn bodies_that_are_too_large_or_no_forms_are_4xx_json() {
    let house = House::new().await;
    let post = |content_type: &str, body: &[u8]| {
        let length = body.len().to_string();
        let headers = [("Content-Type", content_type), ("Content-Length", length.as_str())];
        [request("POST", "/jwt/auth", &headers), body.to_vec()].concat()
    };
    let form = "application/x-www-form-urlencoded";
    let (large, binary) = (vec![b'x'; 2 << 20], (0..=255).collect::<Vec<u8>>());
    let secret = [b"grant_type=password&username=alice&password=".as_slice(), &[b'x'; 50_000]].concat();
    let put = [request("PUT", &format!("{HOME}/alpine/manifests/x"), &[("Content-Length", "2097152")]), large.clone()];
    let cases = [
        ("two megabytes", post(form, &large), 413),
        ("binary", post("application/octet-stream", &binary), 400),
        ("bad UTF-8", post(form, b"grant_type=password&username=%ff%fe&password=\xff"), 403),
        ("a huge password", post(form, &secret), 403),
        ("JSON", post("application/json", b"{\"grant_type\":\"password\"}"), 400),
        ("two grants", post(form, b"grant_type=refresh_token&grant_type=password"), 400),
        ("a push", put.concat(), 405),
    ];
    let statuses = cases.iter().map(|(_, _, status)| *status).collect::<Vec<u16>>();
    let requests = cases.into_iter().map(|(case, bytes, _)| (case.to_owned(), bytes)).collect();
    for ((case, answer), status) in send(&house, requests).await.into_iter().zip(statuses) {
        let answer = answer.unwrap_or_else(|| panic!("no answer: {case}"));
        assert_eq!(answer.status, status, "{case}");
        assert!(!answer.code().is_empty(), "{case}");
    }
    goes_on(&house).await;
}

/// A few kilobytes of a compressed body may be gigabytes, so that none is decoded, whoever sends it.
#[actix_rt::test]
async fn bodies_that_are_compressed_are_refused_unread() {
    let house = House::new().await;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let post = |path: &str, more: &[(&str, &str)]| {
        let headers = [&[form, ("Content-Encoding", "gzip"), ("Content-Length", "60000000")], more].concat();
        request("POST", path, &headers)
    };
    let admin = ("PRIVATE-TOKEN", ADMIN_TOKEN);
    let cases = [
        ("a login", post("/jwt/auth", &[]), 415),
        ("a login to the console", post("/-/sign-in", &[]), 400),
        ("a token for a password", post("/api/v4/user/personal_access_tokens", &[]), 415),
        ("a change", post("/api/v4/groups", &[admin]), 415),
    ];
    let statuses = cases.iter().map(|(_, _, status)| *status).collect::<Vec<u16>>();
    let requests = cases.into_iter().map(|(case, bytes, _)| (case.to_owned(), bytes)).collect();
    for ((case, answer), status) in send(&house, requests).await.into_iter().zip(statuses) {
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{case}");
    }
    goes_on(&house).await;
}

/// A request has the rights of the moment when it began, so it must not be held open for long.
#[actix_rt::test]
async fn bodies_that_do_not_arrive_are_given_up() {
    let house = House::new().await;
    let length = ("Content-Length", "100");
    let admin = [("PRIVATE-TOKEN", ADMIN_TOKEN), ("Content-Type", "application/json"), length];
    let requests = vec![
        ("a login".to_owned(), request("POST", "/jwt/auth", &[length])),
        ("a change".to_owned(), [request("POST", "/api/v4/users", &admin), b"{\"name\":".to_vec()].concat()),
    ];
    for (case, answer) in send(&house, requests).await {
        assert_eq!(answer.map(|answer| answer.status), Some(408), "{case}");
    }
    goes_on(&house).await;
}

#[actix_rt::test]
async fn queries_of_every_bad_kind_do_no_harm() {
    let house = House::new().await;
    let client = house.service.stranger().with_basic(&house.ci.username, &house.ci.secret);
    for (query, status) in [
        ("service=dependency_proxy&service=other", 200),
        ("service=%ff", 404),
        ("service=dependency_proxy&scope=%00%ff", 200),
        ("&&&===&", 200),
        ("%", 200),
        ("service=a%0d%0ab", 404),
    ] {
        let answer = client.get(&format!("/jwt/auth?{query}")).await;
        assert_eq!(said(&answer).0, status, "{query}");
    }
    let long = format!("/jwt/auth?service=dependency_proxy{PULL}&x={}", "y".repeat(20_000));
    assert_eq!(client.get(&long).await.status, 200);
    goes_on(&house).await;
}
