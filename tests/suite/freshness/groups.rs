//! Freshness that groups choose for the tags that they pull.

use serde_json::json;

use super::*;

async fn choose(service: &Service, group: &str, seconds: serde_json::Value) {
    let body = json!({"dependency_proxy_tag_freshness_seconds": seconds});
    let answer = service.api("PUT", &format!("/groups/{}", group.replace('/', "%2F")), body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[actix_rt::test]
async fn a_groups_choice_decides_when_its_own_pulls_revalidate_and_groups_below_inherit_it() {
    let scene = Scene::start(LONG_TTL).await;
    let token = scene.service.deploy_token(&scene.service.group("other").await, "ci").await;
    let other = scene.service.log_in_with(&token).await;
    scene.service.group("team/ci").await;
    scene.gives(&scene.image, "miss").await;
    scene.gives(&scene.image, "hit").await;
    choose(&scene.service, "team", json!(0)).await;
    scene.gives(&scene.image, "revalidated").await;
    assert_eq!(other.manifest("other", "alpine", "latest").await.status, 200);
    let heads = scene.heads();
    assert_eq!(other.manifest("other", "alpine", "latest").await.header("x-cache"), "hit", "another group");
    assert_eq!(scene.heads(), heads);
    let below = scene.client.manifest("team/ci", "alpine", "latest").await;
    assert_eq!((below.status, below.header("x-cache")), (200, "revalidated"), "{}", below.text());
    choose(&scene.service, "team/ci", json!(3600)).await;
    assert_eq!(scene.client.manifest("team/ci", "alpine", "latest").await.header("x-cache"), "hit");
    choose(&scene.service, "team", serde_json::Value::Null).await;
    scene.gives(&scene.image, "hit").await;
}

#[actix_rt::test]
async fn a_groups_choice_comes_before_the_classes_of_tags_and_outlives_a_kill() {
    let mut scene = Scene::start("[cache]\ntag_freshness = 0\nmoving_tags = [\"latest\"]\nmoving_freshness = 0").await;
    scene.gives(&scene.image, "miss").await;
    scene.gives(&scene.image, "revalidated").await;
    choose(&scene.service, "team", json!(3600)).await;
    scene.gives(&scene.image, "hit").await;
    scene.restart();
    scene.gives(&scene.image, "hit").await;
}

#[actix_rt::test]
async fn a_time_that_is_longer_than_a_year_is_refused() {
    let scene = Scene::start(LONG_TTL).await;
    for (seconds, status) in [(31_536_000_u64, 200), (31_536_001, 400), (u64::MAX, 400)] {
        let body = json!({"dependency_proxy_tag_freshness_seconds": seconds});
        let answer = scene.service.api("PUT", "/groups/team", body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}
