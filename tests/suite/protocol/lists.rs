//! `tags/list` and `referrers`: upstream's responses, for callers who may pull, with paging through the service.

use fake_registry::{FakeRegistry, Image, Kind, Layer, OCI_INDEX};
use reqwest::Method;
use serde_json::json;

use super::{House, denied, no_member, refusal, said};
use crate::service::{Answer, Client};

const ALPINE: &str = "/v2/team/dependency_proxy/containers/alpine";

#[actix_rt::test]
async fn tags_are_passed_through_page_by_page() {
    let house = House::new().await;
    for tag in ["3.18", "3.19", "3.20"] {
        house.hub.push_image("library/alpine", tag, &house.image);
    }
    let client = house.client.clone();
    let all = client.get(&format!("{ALPINE}/tags/list")).await;
    assert_eq!((all.status, all.header("link")), (200, ""));
    assert_eq!(all.json(), json!({"name": "library/alpine", "tags": ["3.18", "3.19", "3.20", "latest"]}));
    let mut next = format!("{ALPINE}/tags/list?n=3");
    let mut pages = Vec::new();
    while !next.is_empty() {
        let page = client.get(&next).await;
        assert_eq!(page.status, 200, "{next}");
        pages.push(page.json()["tags"].clone());
        let link = page.header("link");
        next =
            link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap_or_default().to_owned();
        assert!(next.is_empty() || next.starts_with(&format!("{ALPINE}/tags/list?")), "{next}");
    }
    assert_eq!(pages, [json!(["3.18", "3.19", "3.20"]), json!(["latest"])]);
    let from = client.get(&format!("{ALPINE}/tags/list?n=1&last=3.19")).await;
    assert_eq!(from.json()["tags"], json!(["3.20"]));
    assert_eq!(house.hub.requests().of(Kind::Tags), 4, "never stored");
    let asked = house.hub.requests();
    let last = asked.iter().rfind(|request| request.kind == Kind::Tags).unwrap();
    assert_eq!((last.parameter("n"), last.parameter("last")), (Some("1"), Some("3.19")));
}

#[actix_rt::test]
async fn the_next_page_is_asked_of_the_same_upstream() {
    let other = FakeRegistry::start();
    other.require_auth(false);
    let image = Image::single(&[Layer::random(100, 5)]);
    other.push_image("app", "1", &image);
    other.push_image("app", "2", &image);
    let house = House::with(&format!("[upstreams.\"other.test\"]\nurl = \"{}\"", other.url())).await;
    let client = house.client.clone();
    let first = client.get("/v2/team/dependency_proxy/containers/app/tags/list?n=1&ns=other.test").await;
    assert_eq!((first.status, first.header("oci-namespace")), (200, "other.test"));
    let next = first.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(client.get(&next).await.json()["tags"], json!(["2"]), "{next}");
}

#[actix_rt::test]
async fn referrers_are_passed_through_and_are_a_404_where_upstream_has_no_such_list() {
    let house = House::new().await;
    let signature = Image::single(&[Layer::random(50, 8)]).oci().attached_to(&house.image, "application/x-signature");
    let sbom = Image::single(&[Layer::random(50, 9)]).oci().attached_to(&house.image, "application/x-sbom");
    house.hub.push_untagged("library/alpine", &signature);
    house.hub.push_untagged("library/alpine", &sbom);
    let client = house.client.clone();
    let path = format!("{ALPINE}/referrers/{}", house.image.digest());
    let all = client.get(&path).await;
    assert_eq!((all.status, all.header("content-type")), (200, OCI_INDEX));
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let some = client.get(&format!("{path}?artifactType=application/x-sbom")).await;
    assert_eq!(some.json()["manifests"][0]["digest"], sbom.digest());
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 1);
    house.hub.referrers_api(false);
    let tag = house.image.digest().replace(':', "-");
    let sentence = format!("docker.io has no list of referrers of library/alpine. Look for the tag {tag}");
    for query in ["", "?artifactType=application/x-sbom", "?ns=docker.io"] {
        let none = client.get(&format!("{path}{query}")).await;
        assert_eq!(said(&none), refusal(404, "UNSUPPORTED", &sentence), "{query}");
    }
    assert_eq!(house.hub.requests().of(Kind::Referrers), 5, "each time anew: it may be switched on");
}

#[actix_rt::test]
async fn lists_are_for_those_who_may_pull() {
    let house = House::new().await;
    let client = house.client.clone();
    house.service.group("other").await;
    for list in ["tags/list".to_owned(), format!("referrers/{}", house.image.digest())] {
        let foreign = client.get(&format!("/v2/other/dependency_proxy/containers/alpine/{list}")).await;
        assert_eq!(said(&foreign), no_member("other", "deploy token 'ci'"));
        let stranger = house.service.stranger().get(&format!("{ALPINE}/{list}")).await;
        assert_eq!(stranger.status, 401);
    }
    assert_eq!(house.hub.requests().total(), 0);
    let misspelt = client.get("/v2/team/dependency_proxy/containers/ngnix/tags/list").await;
    let sentence = "docker.io has no 'library/ngnix', or it is private (requested without credentials)";
    assert_eq!(said(&misspelt), denied(sentence));
    house.hub.require_auth(false);
    let misspelt = client.get("/v2/team/dependency_proxy/containers/ngnix/tags/list").await;
    assert_eq!(said(&misspelt), refusal(404, "NAME_UNKNOWN", sentence));
}

/// Returns the pages of a list, by following each link to the end.
async fn pages(client: &Client, first: &str) -> Vec<Answer> {
    let mut next = first.to_owned();
    let mut pages = Vec::new();
    while !next.is_empty() {
        let page = client.get(&next).await;
        assert_eq!(page.status, 200, "{next}: {}", page.text());
        next = next_page(&page);
        pages.push(page);
        assert!(pages.len() < 20, "it goes on for ever: {next}");
    }
    pages
}

/// Returns the path of the next page; empty where there is none.
fn next_page(page: &Answer) -> String {
    let link = page.header("link");
    link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap_or_default().to_owned()
}

/// Returns the queries of the lists that were requested from upstream, as received there.
fn queries(hub: &FakeRegistry) -> Vec<String> {
    let requests = hub.requests();
    let lists = requests.iter().filter(|request| matches!(request.kind, Kind::Tags | Kind::Referrers));
    lists.filter(|request| !request.refused).map(|request| request.query_string.clone()).collect()
}

#[actix_rt::test]
async fn every_page_is_found_by_upstreams_own_token_with_one_request() {
    for (parameter, query, sent) in [
        ("next_page", "?n=2", vec!["n=2", "next_page=Mg%3D%3D&n=2", "next_page=NA%3D%3D&n=2"]),
        ("nextToken", "", vec!["", "nextToken=Mg%3D%3D", "nextToken=NA%3D%3D"]),
        (
            "page",
            "?n=9&x=a+b%20c&x&x=",
            vec!["n=9&x=a+b%20c&x&x=", "page=Mg%3D%3D&n=9&x=a+b%20c&x&x=", "page=NA%3D%3D&n=9&x=a+b%20c&x&x="],
        ),
    ] {
        let house = House::new().await;
        for tag in ["1", "2", "3", "4"] {
            house.hub.push_image("library/alpine", tag, &house.image);
        }
        house.hub.page_by(parameter, 2);
        let pages = pages(&house.client.clone(), &format!("{ALPINE}/tags/list{query}")).await;
        let tags: Vec<_> = pages.iter().flat_map(|page| page.json()["tags"].as_array().unwrap().clone()).collect();
        assert_eq!(tags, ["1", "2", "3", "4", "latest"]);
        assert_eq!(queries(&house.hub), sent);
    }
}

#[actix_rt::test]
async fn every_page_of_referrers_is_found_also_by_ns() {
    let other = FakeRegistry::start();
    other.require_auth(false);
    let image = Image::single(&[Layer::random(100, 5)]);
    other.push_image("app", "1", &image);
    for seed in 0..5 {
        let sbom = Image::single(&[Layer::random(50, seed)]).oci().attached_to(&image, "application/x-sbom");
        other.push_untagged("app", &sbom);
    }
    other.page_by("nextToken", 2);
    let house = House::with(&format!("[upstreams.\"other.test\"]\nurl = \"{}\"", other.url())).await;
    let path = format!("/v2/team/dependency_proxy/containers/app/referrers/{}", image.digest());
    let pages = pages(&house.client.clone(), &format!("{path}?ns=other.test&artifactType=application/x-sbom")).await;
    assert_eq!(pages.iter().map(|page| page.json()["manifests"].as_array().unwrap().len()).sum::<usize>(), 5);
    assert!(pages.iter().all(|page| page.header("oci-filters-applied") == "artifactType"));
    assert_eq!(
        next_page(&pages[0]),
        format!("{path}?nextToken=Mg%3D%3D&artifactType=application/x-sbom&ns=other.test")
    );
    let token = |token: &str| format!("nextToken={token}%3D%3D&artifactType=application/x-sbom");
    assert_eq!(queries(&other), ["artifactType=application/x-sbom".to_owned(), token("Mg"), token("NA")]);
}

#[actix_rt::test]
async fn the_link_of_every_registry_comes_down_byte_for_byte() {
    let house = House::new().await;
    let client = house.client.clone();
    for (link, query) in [
        // Quay, ECR, GitLab, Harbor, Artifactory, Distribution.
        ("</v2/coreos/etcd/tags/list?next_page=NTA%3D&n=50>; rel=\"next\"", "next_page=NTA%3D&n=50"),
        ("<https://1.dkr.ecr.test/v2/a/tags/list?nextToken=a%2Bb/c==>; rel=\"next\"", "nextToken=a%2Bb/c=="),
        ("<http://gitlab.test/v2/a/b/tags/list/?last=v1%2E0&n=2>; rel=\"next\"", "last=v1%2E0&n=2"),
        ("</v2/library/a/tags/list?last=latest&n=2&>; rel=\"next\"", "last=latest&n=2&"),
        ("</artifactory/api/docker/x/v2/a/tags/list?last=1+0%20b&n=2>; rel=\"next\"", "last=1+0%20b&n=2"),
        ("<?last=3.9>; rel=next", "last=3.9"),
        ("<tags/list?last=3.9;x,y>; rel=next", "last=3.9;x,y"),
        ("</a?n=1>; rel=\"prev\"; title=\"<, rel=next\", </b?t=1&t=2&flag&=#f>; rel=\"last NEXT\"", "t=1&t=2&flag&="),
        ("</a?n=1&ns=evil.example&last=b&n%73=evil.example>; rel=\"next\"", "n=1&last=b"),
    ] {
        house.hub.on(Kind::Tags).times(1).header("Link", link);
        let page = client.get(&format!("{ALPINE}/tags/list?n=7")).await;
        assert_eq!(next_page(&page), format!("{ALPINE}/tags/list?{query}"), "{link}");
        let page = client.get(&next_page(&page)).await;
        assert_eq!((page.status, queries(&house.hub).pop().unwrap()), (200, query.to_owned()), "{link}");
    }
    house
        .hub
        .on(Kind::Tags)
        .times(1)
        .more_header("Link", "</a?n=1>; rel=prev")
        .more_header("Link", "</a?n=2>; rel=next");
    let page = client.get(&format!("{ALPINE}/tags/list")).await;
    assert_eq!(next_page(&page), format!("{ALPINE}/tags/list?n=2"), "several fields");
}

#[actix_rt::test]
async fn a_link_that_leads_nowhere_new_is_left_out() {
    let house = House::new().await;
    let client = house.client.clone();
    let endless = format!("</v2/x?next_page={}>; rel=next", "a".repeat(5000));
    for link in [
        "</v2/library/alpine/tags/list?n=7&last=x>; rel=\"next\"",
        "</v2/library/alpine/tags/list?n=7&ns=docker.io&last=x>; rel=\"next\"",
        "</v2/library/alpine/tags/list>; rel=\"next\"",
        "</v2/library/alpine/tags/list/page/2>; rel=\"next\"",
        "</v2/library/alpine/tags/list?next page=2>; rel=\"next\"",
        &endless,
    ] {
        house.hub.on(Kind::Tags).times(1).header("Link", link);
        let page = client.get(&format!("{ALPINE}/tags/list?ns=docker.io&n=7&last=x")).await;
        assert_eq!((page.status, page.header("link")), (200, ""), "{link}");
        assert_eq!(queries(&house.hub).pop().unwrap(), "n=7&last=x");
    }
}

#[actix_rt::test]
async fn a_query_that_cannot_be_passed_on_is_refused_and_nobody_is_asked() {
    let house = House::new().await;
    let client = house.client.clone();
    let longest = "a".repeat(4094);
    for list in ["tags/list".to_owned(), format!("referrers/{}", house.image.digest())] {
        let page = client.get(&format!("{ALPINE}/{list}?{longest}aaa")).await;
        assert_eq!(said(&page), refusal(400, "UNSUPPORTED", "the query of a list has at most 4096 bytes"));
    }
    assert_eq!(house.hub.requests().total(), 0);
    assert_eq!(client.get(&format!("{ALPINE}/tags/list?{longest}aa")).await.status, 200);
    assert_eq!(queries(&house.hub).pop().unwrap(), format!("{longest}aa"));
}

#[actix_rt::test]
async fn a_list_is_one_whatever_its_content_type() {
    let house = House::new().await;
    let sbom = Image::single(&[Layer::random(50, 9)]).oci().attached_to(&house.image, "application/x-sbom");
    house.hub.push_untagged("library/alpine", &sbom);
    let client = house.client.clone();
    let referrers = format!("{ALPINE}/referrers/{}", house.image.digest());
    for sent in ["text/plain; charset=utf-8", "application/octet-stream", "text/html"] {
        house.hub.on(Kind::Tags).times(1).content_type(sent);
        let page = client.get(&format!("{ALPINE}/tags/list")).await;
        assert_eq!((page.status, page.header("content-type")), (200, "application/json"), "{sent}");
        assert_eq!(page.json()["tags"], json!(["latest"]));
        house.hub.on(Kind::Referrers).times(1).content_type(sent);
        let page = client.get(&referrers).await;
        assert_eq!((page.status, page.header("content-type")), (200, OCI_INDEX), "{sent}");
        assert_eq!(page.json()["manifests"][0]["digest"], sbom.digest());
    }
    house.hub.on(Kind::Tags).times(1).without_header("Content-Type").json(json!({"name": "x", "tags": null}));
    assert_eq!(client.get(&format!("{ALPINE}/tags/list")).await.status, 200);
}

#[actix_rt::test]
async fn what_is_no_list_is_an_error_whatever_its_content_type() {
    let house = House::new().await;
    let client = house.client.clone();
    for kind in [Kind::Tags, Kind::Referrers] {
        let path = match kind {
            Kind::Tags => format!("{ALPINE}/tags/list"),
            _ => format!("{ALPINE}/referrers/{}", house.image.digest()),
        };
        house.hub.on(kind).times(1).html();
        house.hub.on(kind).times(1).html().content_type("application/json");
        house.hub.on(kind).times(1).json(json!({"errors": []}));
        house.hub.on(kind).times(1).json(json!(["1"])).content_type(OCI_INDEX);
        for round in 0..4 {
            let page = client.get(&path).await;
            // For a list of referrers, 404 means that there is no such list: clients look for the tag.
            let status = if kind == Kind::Tags { 503 } else { 404 };
            assert_eq!((page.status, page.header("link")), (status, ""), "{kind:?} {round}");
        }
        assert_eq!(client.get(&path).await.status, 200);
    }
}

#[actix_rt::test]
async fn a_head_of_a_list_says_what_a_get_does() {
    let house = House::new().await;
    house.hub.push_image("library/alpine", "3.20", &house.image);
    let client = house.client.clone();
    let path = format!("{ALPINE}/tags/list?n=1");
    let get = client.get(&path).await;
    let head = client.send(client.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.body.len(), head.cut), (200, 0, false));
    for header in ["content-type", "content-length", "link"] {
        assert!(!get.header(header).is_empty(), "{header}");
        assert_eq!(head.header(header), get.header(header), "{header}");
    }
    assert_eq!(house.hub.requests().of(Kind::Tags), 2);
}
