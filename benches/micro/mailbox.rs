//! A message to an actor and its reply, which a hit does not need. The actor does nothing else.

use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_rt::SystemRunner;
use criterion::{Criterion, Throughput};
use futures::future::join_all;

struct Echo;

#[derive(Message)]
#[rtype(result = "u64")]
struct Ping(u64);

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<Ping> for Echo {
    type Result = u64;

    fn handle(&mut self, Ping(number): Ping, _: &mut Self::Context) -> u64 {
        number
    }
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox hop");
    let system = System::new();
    let arbiter = Arbiter::new();
    let near = system.block_on(async { Echo.start() });
    let far = Echo::start_in_arbiter(&arbiter.handle(), |_| Echo);
    for (name, echo) in [("same arbiter", &near), ("another arbiter", &far)] {
        for senders in [1, 64] {
            group.throughput(Throughput::Elements(senders));
            group.bench_function(format!("{name}/{senders} at a time"), |bencher| {
                bencher.iter_custom(|rounds| send_pings(&system, echo, senders, rounds));
            });
        }
    }
    group.finish();
    arbiter.stop();
    arbiter.join().unwrap();
}

/// Sends messages from this number of concurrent senders, in this number of rounds.
fn send_pings(system: &SystemRunner, echo: &Addr<Echo>, senders: u64, rounds: u64) -> Duration {
    system.block_on(async {
        let begun = Instant::now();
        for _ in 0..rounds {
            let answers = join_all((0..senders).map(|number| echo.send(Ping(number)))).await;
            assert!(answers.into_iter().zip(0..).all(|(answer, number)| answer == Ok(number)));
        }
        begun.elapsed()
    })
}
