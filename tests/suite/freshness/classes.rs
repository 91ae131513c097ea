//! Classes of tags that have a time to live of their own.

use fake_registry::Listener;

use super::Scene;

const CLASSES: &str = "[cache]\ntag_freshness = \"1h\"\nmoving_tags = [\"latest\", \"docker.io/library/*:main-*\"]\n\
                       moving_freshness = 0\nimmutable_tags = [\"v*\"]\nimmutable_freshness = \"24h\"";

#[actix_rt::test]
async fn moving_tags_are_revalidated_while_others_are_fresh() {
    let scene = Scene::start(CLASSES).await;
    let pulls = [("latest", "revalidated"), ("main-1", "revalidated"), ("other", "hit"), ("v1", "hit")];
    for (tag, _) in pulls {
        scene.hub.push_image("library/alpine", tag, &scene.image);
        scene.pull(tag).await;
    }
    for (tag, word) in pulls {
        assert_eq!(scene.pull(tag).await.header("x-cache"), word, "{tag}");
    }
}

#[actix_rt::test]
async fn immutable_tags_need_no_upstream_where_others_do() {
    let classes = CLASSES.replace("tag_freshness = \"1h\"", "tag_freshness = 0");
    let scene = Scene::start(&classes).await;
    for tag in ["v1", "other"] {
        scene.hub.push_image("library/alpine", tag, &scene.image);
        scene.pull(tag).await;
    }
    scene.hub.down(Listener::Registry);
    assert_eq!(scene.pull("v1").await.header("x-cache"), "hit");
    assert_eq!(scene.pull("other").await.header("x-cache"), "stale");
}
