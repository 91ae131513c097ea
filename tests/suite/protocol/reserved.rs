//! Names of groups that look like routes: refused where a path could be ambiguous, accepted everywhere else.

use serde_json::{Value, json};

use super::{House, said, served};
use crate::service::Answer;

const TOP: [&str; 11] =
    ["api", "API", "v2", "jwt", "groups", "library", "healthz", "ReadyZ", "-", "dependency_proxy", "docker.io"];

/// Each below `payments`, which is created first.
const BELOW: [&str; 12] = [
    "api",
    "api/v4",
    "v2",
    "v2/v2",
    "jwt",
    "groups",
    "library",
    "healthz",
    "docker.io",
    "containers",
    "manifests",
    "tags",
];

async fn create(house: &House, path: &str, parent: Option<u64>) -> Answer {
    let group = json!({"name": "n", "path": path, "parent_id": parent});
    house.service.api("POST", "/groups", group).await
}

#[actix_rt::test]
async fn an_image_is_pulled_through_groups_with_the_names_of_routes_below_the_top() {
    let house = House::new().await;
    let payments = house.service.group("payments").await;
    let token = house.service.deploy_token(&payments, "ci").await;
    let client = house.service.log_in_with(&token).await;
    let layer = &house.image.layers()[0];
    for name in BELOW {
        let group = house.service.group(&format!("payments/{name}")).await;
        let manifest = client.manifest(&group.path, "alpine", "latest").await;
        assert_eq!((said(&manifest), &manifest.body), (served(), house.image.bytes()), "{name}");
        let blob = client.blob(&group.path, "library/alpine", layer.digest()).await;
        assert_eq!((said(&blob), blob.body.as_ref()), (served(), layer.bytes().as_slice()), "{name}");
        let path = format!("/v2/{}/dependency_proxy/containers/docker.io/library/alpine/tags/list", group.path);
        assert_eq!(said(&client.get(&path).await), served(), "{name}");
        let shown = house.service.api("GET", &format!("/groups/{}", group.path.replace('/', "%2F")), Value::Null).await;
        assert_eq!((shown.status, &shown.json()["id"]), (200, &json!(group.id)), "{name}");
    }
    let other = client.manifest("payments/api/none", "alpine", "latest").await;
    assert_eq!(said(&other).0, 403, "only groups that there are");
}

#[actix_rt::test]
async fn names_of_routes_are_refused_at_the_top_and_what_ends_a_path_everywhere() {
    let house = House::new().await;
    for name in TOP {
        let refused = create(&house, name, None).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        let renamed = house.service.api("PUT", &format!("/groups/{}", house.team.id), json!({"path": name})).await;
        assert_eq!(renamed.status, 400, "{name}: {}", renamed.text());
    }
    for name in ["-", "dependency_proxy", "Dependency_Proxy"] {
        let refused = create(&house, name, Some(house.team.id)).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        assert!(refused.text().contains("is a reserved name"), "{name}: {}", refused.text());
    }
    assert_eq!(create(&house, "containers", None).await.status, 201, "no route begins with it");
    assert_eq!(create(&house, "metrics", None).await.status, 201, "a port of its own");
}

#[actix_rt::test]
async fn a_group_is_renamed_to_the_name_of_a_route_only_below_the_top() {
    let house = House::new().await;
    let sub = house.service.group("team/sub").await;
    house.change("PUT", &format!("/groups/{}", sub.id), json!({"path": "api"})).await;
    let client = house.client.clone();
    assert_eq!(said(&client.manifest("team/api", "alpine", "latest").await), served());
    assert_eq!(said(&client.manifest("api", "alpine", "latest").await).0, 400);
}
