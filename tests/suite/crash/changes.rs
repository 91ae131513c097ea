//! Kills during changes of identities by several administrators.

use futures::future::join_all;

use super::Chances;
use super::caller::Caller;
use super::ledger::Ledger;
use crate::service::Config;

const KILLS: usize = 20;
const ADMINISTRATORS: usize = 3;

#[actix_rt::test]
async fn every_change_that_was_acknowledged_survives_kills_and_none_is_half_done() {
    let mut chances = Chances::announced("kills in changes");
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let mut ledgers = Vec::new();
    for number in 0..ADMINISTRATORS {
        ledgers.push(Ledger::open(&service, number, chances.branch()).await);
    }
    for _ in 0..KILLS {
        let caller = Caller::new(&service);
        let work = ledgers.into_iter().map(|ledger| actix_rt::spawn(ledger.change_until_the_end(caller.clone())));
        let work: Vec<_> = work.collect();
        tokio::time::sleep(chances.moment(80)).await;
        service.kill();
        ledgers = join_all(work).await.into_iter().map(Result::unwrap).collect();
        service.restart();
        let caller = Caller::new(&service);
        for ledger in &mut ledgers {
            ledger.verify(&service, &caller).await;
        }
    }
    let acknowledged: usize = ledgers.iter().map(|ledger| ledger.acknowledged).sum();
    eprintln!("{acknowledged} changes were acknowledged between {KILLS} kills");
    assert!(acknowledged >= KILLS, "only {acknowledged} changes were acknowledged: the kills came too early");
}
