//! Sessions of the console that several replicas share: who is signed in at one is signed in at all, until the session
//! ends at any of them.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{Fleet, Mode};
use crate::console::Visitor;
use crate::service::{User, eventually};

const PASSWORD: &str = "alice-has-a-password";

/// A fleet with a user, who is signed in at the first replica.
struct Scene {
    fleet: Fleet,
    user: User,
    alice: Visitor,
}

impl Scene {
    async fn of(fleet: Fleet) -> Self {
        let user = fleet.service(0).user("alice", PASSWORD).await;
        let alice = Visitor::signed_in(fleet.service(0), "alice", PASSWORD).await;
        Self { fleet, user, alice }
    }

    /// Returns the browser with its next requests at this replica.
    fn at(&self, visitor: &Visitor, replica: usize) -> Visitor {
        visitor.at(self.fleet.service(replica))
    }

    /// Returns true for each replica at which the browser is signed in.
    async fn is_in(&self, visitor: &Visitor) -> Vec<bool> {
        let mut is_in = Vec::new();
        for replica in 0..self.fleet.replicas.len() {
            let page = self.at(visitor, replica).get("/").await;
            is_in.push(page.status == 200);
            assert!(page.status == 200 || page.leads_to.starts_with("/-/sign-in?"), "{}", page.text);
        }
        is_in
    }
}

#[actix_rt::test]
async fn who_is_signed_in_at_one_replica_is_signed_in_at_all_until_the_session_ends_at_one() {
    let scene = Scene::of(Fleet::of(3)).await;
    assert_eq!(scene.is_in(&scene.alice).await, [true; 3]);
    scene.at(&scene.alice, 1).get("/-/account").await.shows(&["Where you are signed in", "This session"]);
    // The form of a page of one replica, sent to another one, and its result on the page of the third.
    let token = scene.at(&scene.alice, 1).get("/-/account").await.form_token();
    let fields = [("csrf", token.as_str()), ("session", "others")];
    let second = scene.at(&scene.alice, 2);
    let ended = second.send(second.request("POST", "/-/account/sessions").form(&fields)).await;
    assert_eq!((ended.status, ended.leads_to.as_str()), (303, "/-/account"), "{}", ended.text);
    scene.at(&scene.alice, 0).get("/-/account").await.shows(&["All these sessions have ended."]);
    let again = scene.at(&scene.alice, 1).get("/-/account").await;
    assert!(!again.text.contains("All these sessions have ended."), "it is shown once");

    let signed_out = scene.at(&scene.alice, 1).post("/-/sign-out", &[]).await;
    assert_eq!((signed_out.status, signed_out.leads_to.as_str()), (303, "/-/sign-in"));
    assert_eq!(scene.is_in(&scene.alice).await, [false; 3]);
}

#[actix_rt::test]
async fn another_session_a_new_password_and_a_block_end_sessions_at_all_replicas_at_once() {
    let scene = Scene::of(Fleet::of(3)).await;
    let service = |replica| scene.fleet.service(replica);
    let other = Visitor::signed_in(service(1), "alice", PASSWORD).await;
    let page = scene.at(&scene.alice, 2).get("/-/account").await;
    let rows: Vec<&str> = page.text.split(r#"name="session" value=""#).skip(1).collect();
    assert_eq!(rows.len(), 1, "the present one cannot be ended here: {}", page.text);
    let id = rows[0].split('"').next().unwrap();
    assert_eq!(scene.at(&scene.alice, 2).post("/-/account/sessions", &[("session", id)]).await.status, 303);
    assert_eq!((scene.is_in(&other).await, scene.is_in(&scene.alice).await), (vec![false; 3], vec![true; 3]));

    let path = format!("/users/{}", scene.user.id);
    let changed = service(1).api("PUT", &path, json!({"password": "another-password"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(scene.is_in(&scene.alice).await, [false; 3]);

    let alice = Visitor::signed_in(service(2), "alice", "another-password").await;
    for (replica, change) in [(0, "block"), (1, "unblock")] {
        assert_eq!(service(replica).api("POST", &format!("{path}/{change}"), Value::Null).await.status, 201);
    }
    assert_eq!(scene.is_in(&alice).await, [false; 3], "also if there was no request while the user was blocked");
}

#[actix_rt::test]
async fn a_session_ends_after_the_times_in_the_settings_whichever_replica_was_used() {
    let settings = "[console]\nsession_idle = \"3s\"\nsession_longest = \"7s\"";
    let scene = Scene::of(Fleet::with(2, settings)).await;
    let idle = Visitor::signed_in(scene.fleet.service(0), "alice", PASSWORD).await;
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(scene.at(&scene.alice, round % 2).get("/").await.status, 200, "{round}");
    }
    assert_eq!(scene.is_in(&idle).await, [false; 2], "it was not used");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    scene.at(&scene.alice, 0).get("/").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(scene.is_in(&scene.alice).await, [false; 2], "it has lasted for the longest time");
}

#[actix_rt::test]
async fn the_database_has_no_secret_of_a_session_and_few_writes() {
    let scene = Scene::of(Fleet::of(2)).await;
    let query = |statement: &str| scene.fleet.database.query(statement);
    let cookie = scene.alice.cookie.clone().unwrap();
    let secret = cookie.split('=').nth(1).unwrap();
    let digest = format!("sha256:{}", hex::encode(digest(&SHA256, secret.as_bytes())));
    assert_eq!(query("SELECT digest FROM console_session"), digest);
    assert!(!query("SELECT row_to_json(console_session) FROM console_session").contains(secret));
    assert_eq!(scene.is_in(&scene.alice).await, [true; 2]);
    assert_eq!(query("SELECT used_at = started_at FROM console_session"), "t", "a use within a minute writes nothing");
    query("UPDATE console_session SET used_at = now() - interval '2 minutes'");
    assert_eq!(scene.is_in(&scene.alice).await, [true; 2]);
    assert_eq!(query("SELECT used_at > now() - interval '1 minute' FROM console_session"), "t");
    // One password has at most 50 sessions: those that were not used for the longest time end.
    query(
        "INSERT INTO console_session (digest, id, credential, used_at) SELECT 'digest-' || n, 'id-' || n, \
         (SELECT credential FROM console_session), now() - n * interval '1 minute' FROM generate_series(1, 60) AS n",
    );
    Visitor::signed_in(scene.fleet.service(1), "alice", PASSWORD).await;
    assert_eq!(query("SELECT count(*), count(*) FILTER (WHERE id = 'id-49') FROM console_session"), "50|0");
    assert_eq!(scene.is_in(&scene.alice).await, [true; 2]);
}

#[actix_rt::test]
async fn without_the_database_pages_are_refused_with_a_sentence_and_sessions_go_on_when_it_is_back() {
    let scene = Scene::of(Fleet::of(2)).await;
    let group = scene.fleet.service(0).group("team").await;
    let token = scene.fleet.service(0).deploy_token(&group, "ci").await;
    let lost = scene.at(&scene.alice, 1);
    for mode in [Mode::Refuse, Mode::Stall] {
        scene.fleet.replicas[1].lose_database(mode);
        for address in ["/", "/-/account", "/-/sign-in"] {
            let page = lost.get(address).await;
            page.is(503, "The database that has the sessions does not respond.");
            assert_eq!(page.header("retry-after"), "1");
        }
        let mut stranger = Visitor::stranger(scene.fleet.service(1));
        stranger.get("/-/sign-in").await.is(200, "Sign in");
        let refused = stranger.sign_in("alice", PASSWORD, "/").await;
        refused.is(503, "The database that has the sessions does not respond.");
        assert!(stranger.cookie.is_none());
        let client = scene.fleet.service(1).stranger().with_basic(&token.username, &token.secret);
        assert_eq!(client.get("/v2/").await.status, 200, "pulls need no database");
        assert_eq!(scene.at(&scene.alice, 0).get("/").await.status, 200);
        scene.fleet.replicas[1].find_everything();
        eventually("pages are there again", async || lost.get("/").await.status == 200).await;
    }
}
