//! A client that keeps the console busy does not prevent others from using it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use fake_registry::Kind;

use super::*;
use crate::service::eventually;

/// Signs in with wrong passwords, again and again, on 90 connections from another address. Returns the number of
/// responses so far that report that the console is busy.
fn guess(house: &House) -> Rc<Cell<usize>> {
    let (address, busy) = (IpAddr::from([127, 0, 0, 2]), Rc::new(Cell::new(0)));
    for number in 0..90 {
        let (mut stranger, busy) = (Visitor::stranger_at(&house.started.service, address), busy.clone());
        actix_rt::spawn(async move {
            loop {
                let page = stranger.sign_in(&format!("nobody-{number}"), "a-wrong-password", "/").await;
                busy.set(busy.get() + usize::from(page.status == 503));
            }
        });
    }
    busy
}

/// Refreshes an image of a registry that hangs, 64 times at once.
async fn refresh(house: &House, visitor: Visitor) {
    let (token, visitor) = (visitor.get("/").await.form_token(), Rc::new(visitor));
    for _ in 0..64 {
        let (visitor, token) = (visitor.clone(), token.clone());
        actix_rt::spawn(async move {
            let request = visitor.request("POST", &format!("{TEAM}/images/library/app:1"));
            visitor.send(request.form(&[("do", "refresh"), ("csrf", &token)])).await;
        });
    }
    house.started.hub.seen(Kind::ManifestHead, 1).await;
}

#[actix_rt::test]
async fn who_guesses_passwords_and_who_waits_for_a_registry_keep_nobody_else_from_the_pages() {
    let house = House::new(with_images(1)).await;
    house.pull(&[("1", &image(1))]).await;
    let [alice, bob] = [house.visitor("alice").await, house.visitor("bob").await];
    let stranger = Visitor::stranger(&house.started.service);
    let style = bob.get("/").await.text;
    let style = style.split_once(r#"stylesheet" href=""#).unwrap().1.split('"').next().unwrap().to_owned();
    house.started.hub.reset_counts();
    house.started.hub.on(Kind::ManifestHead).hang();
    refresh(&house, alice).await;
    let busy = guess(&house);
    eventually("the guesses are too many", async || busy.get() >= 90).await;
    let before = busy.get();
    for _ in 0..5 {
        bob.get(TEAM).await.shows(&["<h1>team "]);
        bob.get(&style).await.shows(&[".bar"]);
        stranger.get("/-/sign-in").await.shows(&["<h1>Sign in</h1>"]);
        bob.post("/-/account/tokens/new", &[("name", "x")]).await.is(400, "The choice of scopes is empty");
    }
    house.visitor("dave").await.get("/").await.shows(&["You are in no group yet"]);
    eventually("the guesses go on", async || busy.get() > before).await;
}
