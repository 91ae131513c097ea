//! One hop through an actor's mailbox and back: what a pull that is a hit is spared. The actor does nothing but answer.

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
        for askers in [1, 64] {
            group.throughput(Throughput::Elements(askers));
            group.bench_function(format!("{name}/{askers} at a time"), |bencher| {
                bencher.iter_custom(|rounds| ask(&system, echo, askers, rounds));
            });
        }
    }
    group.finish();
    arbiter.stop();
    arbiter.join().unwrap();
}

/// So many askers each ask in every round, all at once.
fn ask(system: &SystemRunner, echo: &Addr<Echo>, askers: u64, rounds: u64) -> Duration {
    system.block_on(async {
        let begun = Instant::now();
        for _ in 0..rounds {
            let answers = join_all((0..askers).map(|number| echo.send(Ping(number)))).await;
            assert!(answers.into_iter().zip(0..).all(|(answer, number)| answer == Ok(number)));
        }
        begun.elapsed()
    })
}
