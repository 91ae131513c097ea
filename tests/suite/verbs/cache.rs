//! `cache`: the images of a group as an operator lists, pins and deletes them.

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Scenario, Started, eventually};
use fake_registry::{Image, Layer};

#[actix_rt::test]
async fn images_are_listed_pinned_and_deleted_and_groups_are_compared() {
    let scenario = ["1", "2"].iter().zip(1..).fold(Scenario::new(), |scenario, (tag, seed)| {
        scenario.image("library/app", tag, &Image::single(&[Layer::random(2_000_000, seed)]))
    });
    let Started { hub: _hub, service, client, .. } = scenario.settings("[cache]\ntag_freshness = \"1h\"").start().await;
    let digest = |seed| Image::single(&[Layer::random(2_000_000, seed)]).digest().to_owned();
    for (tag, seed) in [("1", 1), ("2", 2)] {
        assert_eq!(client.manifest("team", "app", tag).await.status, 200);
        for blob in Image::single(&[Layer::random(2_000_000, seed)]).blobs() {
            assert_eq!(client.stored_blob("team", "app", blob.digest()).await.status, 200);
        }
    }
    let run = |line: &str| says(&verb(&service, ADMIN_TOKEN, line, ""));
    let listed = run("cache list --group team");
    let line = listed.lines().find(|line| line.contains("library/app:1")).unwrap();
    assert!(line.contains(&digest(1)[..19]) && line.contains("2.0 MB") && line.contains("fresh"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&run("cache list --group team --search app:2 --json")).unwrap();
    assert_eq!((json.as_array().unwrap().len(), json[0]["digest"].as_str().unwrap()), (1, digest(2).as_str()));

    assert!(run("cache pin --group team app:2").contains("pinned in team: app:2"));
    assert!(run("cache list --group team --pinned").contains("library/app:2"));
    assert!(!run("cache list --group team --pinned").contains("library/app:1"));
    run("cache unpin --group team app:2 app:1");
    assert!(!run("cache list --group team --pinned").contains("library/app"));

    let is_told = async || {
        let usage = run("cache usage");
        usage.lines().any(|line| line.trim_start().starts_with("team ") && line.contains("4.0 MB"))
    };
    eventually("the size of the group is told", is_told).await;
    assert!(run("cache usage").contains("(stored, each once)"));

    run("cache delete --group team app:1");
    assert!(!run("cache list --group team").contains("library/app:1"));
    let again = verb(&service, ADMIN_TOKEN, "cache delete --group team app:1", "");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("Image Not Found"));
    let refused = |line: &str| String::from_utf8(verb(&service, ADMIN_TOKEN, line, "").stderr).unwrap();
    let half = refused("cache pin --group team app:2 app:1 app:3");
    assert!(half.contains("app:1 (already pinned: app:2): Image Not Found"), "{half}");
    let half = refused("cache delete --group team app:2 app:1");
    assert!(half.contains("app:1 (already deleted: app:2): Image Not Found"), "{half}");
    assert!(refused("cache delete --group team NoName:1").contains("'NoName:1' is not an image: "));

    run("group change team --max-size 3MB --unpulled-days 90");
    let usage = run("cache usage");
    assert!(usage.lines().any(|line| line.trim_start().starts_with("team ") && line.contains("3.0 MB")), "{usage}");
    assert!(run("group show team").contains("3000000"));
    run("group change team --max-size none --unpulled-days inherit");
    let shown = run("group show team --json");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["dependency_proxy_max_bytes"].is_null() && shown["dependency_proxy_unpulled_days"].is_null());
}
