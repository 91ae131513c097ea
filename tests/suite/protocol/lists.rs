//! `tags/list` and `referrers`: upstream's answers, for those who may pull, with pages asked for here.

use serde_json::json;

use super::{House, denied, no_member, refusal, said};
use crate::fake_hub::{FakeHub, Image, Kind, Layer, OCI_INDEX};

const ALPINE: &str = "/v2/team/dependency_proxy/containers/alpine";

#[actix_rt::test]
async fn tags_are_passed_through_page_by_page() {
    let house = House::new().await;
    for tag in ["3.18", "3.19", "3.20"] {
        house.hub.push_image("library/alpine", tag, &house.image);
    }
    let client = house.client().await;
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
    let other = FakeHub::start();
    other.require_auth(false);
    let image = Image::single(&[Layer::random(100, 5)]);
    other.push_image("app", "1", &image);
    other.push_image("app", "2", &image);
    let house = House::with(&format!("[upstreams.\"other.test\"]\nurl = \"{}\"", other.url())).await;
    let client = house.client().await;
    let first = client.get("/v2/team/dependency_proxy/containers/app/tags/list?n=1&ns=other.test").await;
    assert_eq!((first.status, first.header("oci-namespace")), (200, "other.test"));
    let next = first.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(client.get(&next).await.json()["tags"], json!(["2"]), "{next}");
}

#[actix_rt::test]
async fn referrers_are_passed_through_and_empty_where_upstream_has_none() {
    let house = House::new().await;
    let signature = Image::single(&[Layer::random(50, 8)]).oci().attached_to(&house.image, "application/x-signature");
    let sbom = Image::single(&[Layer::random(50, 9)]).oci().attached_to(&house.image, "application/x-sbom");
    house.hub.push_untagged("library/alpine", &signature);
    house.hub.push_untagged("library/alpine", &sbom);
    let client = house.client().await;
    let path = format!("{ALPINE}/referrers/{}", house.image.digest());
    let all = client.get(&path).await;
    assert_eq!((all.status, all.header("content-type")), (200, OCI_INDEX));
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let some = client.get(&format!("{path}?artifactType=application/x-sbom")).await;
    assert_eq!(some.json()["manifests"][0]["digest"], sbom.digest());
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 1);
    house.hub.referrers_api(false);
    let none = client.get(&path).await;
    assert_eq!((none.status, none.header("content-type")), (200, OCI_INDEX));
    assert_eq!(none.json(), json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}));
}

#[actix_rt::test]
async fn lists_are_for_those_who_may_pull() {
    let house = House::new().await;
    let client = house.client().await;
    house.service.group("other").await;
    for list in ["tags/list".to_owned(), format!("referrers/{}", house.image.digest())] {
        let foreign = client.get(&format!("/v2/other/dependency_proxy/containers/alpine/{list}")).await;
        assert_eq!(said(&foreign), no_member("other", "deploy token 'ci'"));
        let stranger = house.service.stranger().get(&format!("{ALPINE}/{list}")).await;
        assert_eq!(stranger.status, 401);
    }
    assert_eq!(house.hub.requests().total(), 0);
    let misspelt = client.get("/v2/team/dependency_proxy/containers/ngnix/tags/list").await;
    let sentence = "docker.io has no 'library/ngnix', or it is private (asked without credentials)";
    assert_eq!(said(&misspelt), denied(sentence));
    house.hub.require_auth(false);
    let misspelt = client.get("/v2/team/dependency_proxy/containers/ngnix/tags/list").await;
    assert_eq!(said(&misspelt), refusal(404, "NAME_UNKNOWN", sentence));
}
