//! Isolation of groups with accounts of their own: they get nothing of another account, whatever is stored.

use fake_registry::{Image, Kind, Layer};
use futures::future::join_all;

use super::*;

#[actix_rt::test]
async fn each_group_pulls_with_its_own_account_and_sees_nothing_of_the_other() {
    let Scene { hub: _hub, service: _service, a, b, image_a, image_b } = &Scene::with_accounts(LONG_TTL).await;
    for status in ["miss", "hit"] {
        for (one, group, own, other, image) in
            [(a, "a", "private/a", "private/b", image_a), (b, "b", "private/b", "private/a", image_b)]
        {
            let manifest = one.manifest(group, own, "1").await;
            is(&manifest, image, status);
            let layer = &image.layers()[0];
            assert_eq!(one.stored_blob(group, own, layer.digest()).await.body.as_ref(), layer.bytes().as_slice());
            let denied = one.manifest(group, other, "1").await;
            assert_eq!((denied.status, denied.code().as_str()), (403, "DENIED"), "{}", denied.text());
            assert!(denied.message().contains(&format!("(requested as robot-{group})")), "{}", denied.message());
        }
        let (foreign, layer) = (image_b.digest(), image_b.layers()[0].digest());
        assert_eq!(a.manifest("a", "private/b", foreign).await.status, 403, "by its digest");
        assert_eq!(a.blob("a", "private/b", layer).await.status, 403);
        assert_eq!(a.blob("a", "private/a", layer).await.status, 404);
    }
}

#[actix_rt::test]
async fn the_same_user_name_with_another_password_is_another_account() {
    let scene = Scene::with_accounts(LONG_TTL).await;
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    scene.set("b", "robot-a", "not-the-password-of-robot-a").await;
    let refused = scene.b.manifest("b", "private/a", "1").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.message().starts_with("The login of account 'robot-a' is refused by docker.io"), "{refused:?}");
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "hit");
    let by_digest = scene.b.manifest("b", "private/a", scene.image_a.digest()).await;
    assert_eq!(by_digest.status, 503, "what is stored is not served to it: {}", by_digest.text());
    assert!(scene.service.log().contains("account 'robot-a' of the group b is refused by docker.io"));
}

#[actix_rt::test]
async fn strangers_do_not_learn_the_names_of_accounts_and_the_log_has_them() {
    let scene = Scene::with_accounts(&format!("{REVALIDATE}\n[auth]\npublic_groups = \"anyone\"")).await;
    let public = scene.service.api("PUT", "/groups/a", json!({"visibility": "public"})).await;
    assert_eq!(public.status, 200, "{}", public.text());
    let token = scene.service.stranger().get("/jwt/auth?service=dependency_proxy&scope=repository:a:pull").await;
    let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
    let stranger = scene.service.stranger().with_authorization(&bearer);
    is(&stranger.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    for (client, asked) in [(&stranger, "with the account of this cache"), (&scene.a, "as robot-a")] {
        for tags in [false, true] {
            let path = if tags { "tags/list" } else { "manifests/1" };
            let denied = client.get(&format!("/v2/a/dependency_proxy/containers/private/b/{path}")).await;
            assert_eq!(denied.status, 403, "{}", denied.text());
            assert!(denied.message().contains(&format!("(requested {asked})")), "{}", denied.message());
        }
    }
    scene.hub.expire_tokens();
    scene.hub.on(Kind::Token).status(401);
    for (client, name) in [(&stranger, "the account of this cache"), (&scene.a, "account 'robot-a'")] {
        let stale = client.manifest("a", "private/a", "1").await;
        is(&stale, &scene.image_a, "stale");
        assert_eq!(stale.header("x-upstream-error"), format!("The login of {name} is refused by docker.io"));
        let refused = client.manifest("a", "private/a", "2").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        let begin = format!("The login of {name} is refused by docker.io and private/a:2 is not cached");
        assert!(refused.message().starts_with(&begin), "{}", refused.message());
    }
    let log = scene.service.log();
    let refusals =
        log.lines().filter(|line| line.contains("The login of account 'robot-a' is refused by docker.io and"));
    assert_eq!(refusals.count(), 2, "{log}");
}

#[actix_rt::test]
async fn pulls_at_the_same_time_are_coalesced_for_each_account() {
    let scene = Scene::start(LONG_TTL).await;
    scene.hub.add_account("robot-c", "hub-password-of-both", &["private/a"]);
    scene.set("a", "robot-a", PASSWORD).await;
    scene.set("b", "robot-c", "hub-password-of-both").await;
    scene.hub.on(Kind::ManifestGet).delay(std::time::Duration::from_millis(500));
    let pulls = (0..10).map(|number| {
        let (client, group) = if number % 2 == 0 { (&scene.a, "a") } else { (&scene.b, "b") };
        client.manifest(group, "private/a", "1")
    });
    let answers = join_all(pulls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(scene.hub.requests().manifest_gets("private/a", "1"), 2, "one for each account");
    assert_eq!((scene.logins(PASSWORD), scene.logins("hub-password-of-both")), (1, 1));
}

#[actix_rt::test]
async fn what_another_account_has_cached_is_requested_again_and_is_there_again_once_the_account_is_removed() {
    let account = format!("username = \"robot-a\"\npassword = \"{PASSWORD}\"");
    let scene = Scene::start(&format!("{account}\n{LONG_TTL}")).await;
    let public = Image::single(&[Layer::random(5_000, 7)]);
    scene.hub.push_image("library/app", "1", &public);
    is(&scene.b.manifest("b", "app", "1").await, &public, "miss");
    is(&scene.b.manifest("b", "private/a", "1").await, &scene.image_a, "miss");
    let layer = public.layers()[0].digest();
    assert_eq!(scene.b.stored_blob("b", "app", layer).await.status, 200);
    scene.set("b", "robot-b", OTHER).await;
    scene.hub.reset_counts();
    let denied = scene.b.manifest("b", "private/a", "1").await;
    assert_eq!(denied.status, 403, "the account of the service had it: {}", denied.text());
    assert_eq!(scene.b.manifest("b", "private/a", scene.image_a.digest()).await.status, 403);
    assert_eq!(scene.b.manifest("b", "app", "1").await.status, 200);
    assert_eq!(scene.b.blob("b", "app", layer).await.status, 200);
    let requests = scene.hub.requests();
    assert!(requests.manifest_heads("library/app", "1") + requests.manifest_gets("library/app", "1") > 0);
    assert_eq!(requests.blob_downloads(layer), 0, "its bytes are stored once");
    assert!(scene.logins(OTHER) > 0 && scene.logins(PASSWORD) == 0);
    scene.remove("b").await;
    scene.hub.reset_counts();
    is(&scene.b.manifest("b", "private/a", "1").await, &scene.image_a, "hit");
    is(&scene.b.manifest("b", "app", "1").await, &public, "hit");
    assert_eq!(scene.hub.requests().total(), 0);
}

#[actix_rt::test]
async fn a_refresh_is_one_of_the_image_of_the_present_account() {
    let scene = Scene::start(LONG_TTL).await;
    let images = [7, 8].map(|seed| Image::single(&[Layer::random(5_000, seed)]));
    scene.hub.push_image("library/app", "1", &images[0]);
    is(&scene.b.manifest("b", "app", "1").await, &images[0], "miss");
    scene.set("b", "robot-b", OTHER).await;
    let refresh = async || scene.service.api("POST", "/groups/b/dependency_proxy/refresh/app:1", Value::Null).await;
    let refused = refresh().await;
    assert!(refused.status == 403 && refused.text().contains("pull it again"), "{}", refused.text());
    assert_eq!(scene.b.manifest("b", "app", "1").await.status, 200);
    scene.hub.push_image("library/app", "1", &images[1]);
    let refreshed = refresh().await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    let image = refreshed.json();
    assert_eq!((&image["account"], &image["digest"]), (&json!("robot-b"), &json!(images[1].digest())), "{image}");
    let listed = scene.service.api("GET", "/groups/b/dependency_proxy/images", Value::Null).await.json();
    assert_eq!((&listed[0]["account"], &listed[0]["digest"]), (&Value::Null, &json!(images[0].digest())), "{listed}");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    // Shown by itself and changed, it is that of the present account, and without one the newest.
    let path = "/groups/b/dependency_proxy/images/app:1";
    let digest = async || scene.service.api("GET", path, Value::Null).await.json()["digest"].clone();
    assert_eq!(digest().await, images[1].digest());
    let pinned = scene.service.api("PUT", path, json!({"pinned": true})).await.json();
    assert_eq!((&pinned["account"], &pinned["pinned"]), (&json!("robot-b"), &json!(true)), "{pinned}");
    scene.remove("b").await;
    assert_eq!(digest().await, images[0].digest());
    scene.set("b", "robot-b", OTHER).await;
    assert_eq!(digest().await, images[1].digest(), "that of the account, or the newest if it counts as another one");
}

#[actix_rt::test]
async fn a_new_password_opens_nothing_before_upstream_has_accepted_it() {
    let scene = Scene::with_accounts(LONG_TTL).await;
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "miss");
    let layer = scene.image_a.layers()[0].digest();
    assert_eq!(scene.a.stored_blob("a", "private/a", layer).await.status, 200);
    scene.set("a", "robot-a", PASSWORD).await;
    is(&scene.a.manifest("a", "private/a", "1").await, &scene.image_a, "hit");
    scene.set("a", "robot-a", "a-guess-at-the-password").await;
    for reference in ["1", scene.image_a.digest()] {
        let answer = scene.a.manifest("a", "private/a", reference).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert_eq!(scene.a.blob("a", "private/a", layer).await.status, 503);
    scene.set("a", "robot-a", PASSWORD).await;
    scene.hub.reset_counts();
    assert_eq!(scene.a.manifest("a", "private/a", "1").await.status, 200);
    assert_eq!(scene.a.blob("a", "private/a", layer).await.status, 200);
    assert_eq!(scene.hub.requests().blob_downloads(layer), 0, "its bytes are stored once");
}

#[actix_rt::test]
async fn groups_below_inherit_the_account_until_they_have_their_own() {
    let scene = Scene::start(LONG_TTL).await;
    scene.set("a", "robot-a", PASSWORD).await;
    let below = client(&scene.service, "a/ci").await;
    is(&below.manifest("a/ci", "private/a", "1").await, &scene.image_a, "miss");
    let listed = scene.list("a/ci").await;
    assert_eq!((&listed[0]["group"], &listed[0]["inherited"]), (&json!("a"), &json!(true)), "{listed}");
    let explained = scene
        .service
        .api("GET", "/groups/a%2Fci/dependency_proxy/explain?user=root&image=private/a:1", Value::Null)
        .await
        .json();
    assert_eq!(explained["image"]["account"], "robot-a", "{explained}");
    assert_eq!(explained["image"]["account_group"], "a", "{explained}");
    scene.set("a/ci", "robot-b", OTHER).await;
    assert_eq!(below.manifest("a/ci", "private/a", "1").await.status, 403);
    is(&below.manifest("a/ci", "private/b", "1").await, &scene.image_b, "miss");
    scene.remove("a/ci").await;
    is(&below.manifest("a/ci", "private/a", "1").await, &scene.image_a, "hit");
    let renamed = scene.service.api("PUT", "/groups/a", json!({"path": "renamed"})).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    is(&below.manifest("renamed/ci", "private/a", "1").await, &scene.image_a, "hit");
}

#[actix_rt::test]
async fn the_account_of_a_group_comes_before_those_of_the_settings_also_after_a_reload() {
    let account = format!("username = \"robot-a\"\npassword = \"{PASSWORD}\"\ngroups = [\"b\"]");
    let scene = Scene::start(&format!("{account}\n{REVALIDATE}")).await;
    scene.set("b", "robot-b", OTHER).await;
    is(&scene.b.manifest("b", "private/b", "1").await, &scene.image_b, "miss");
    let applied = || scene.service.log().matches("changed settings are applied").count();
    let before = applied();
    scene.service.replace_setting("tag_freshness = 0", "tag_freshness = \"1s\"");
    scene.service.signal("HUP");
    crate::service::eventually("applied", async || applied() > before).await;
    assert_eq!(scene.b.manifest("b", "private/b", "1").await.status, 200);
    assert_eq!(scene.b.manifest("b", "private/a", "1").await.status, 403);
    assert_eq!(scene.logins(PASSWORD), 0);
}
