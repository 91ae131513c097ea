//! `bench`: a load generator. Its clients pull whole images from this service, or from any registry or mirror, and
//! measure latency and throughput. It starts no service and stores nothing.
//!
//! | module | content |
//! |---|---|
//! | [`arguments`], [`open_files`] | what is measured; the limit of open files |
//! | [`rounds`] | the clients: threads, and rounds of one server |
//! | [`pull`], [`platform`], [`session`], [`wire`] | the pull of an image; the choice of a platform; challenges and tokens; HTTP |
//! | [`tally`], [`fault`], [`progress`], [`report`] | what was measured; kinds of errors; output meanwhile, and at the end |

mod arguments;
mod fault;
mod open_files;
mod platform;
mod progress;
mod pull;
mod report;
mod rounds;
mod session;
mod tally;
mod wire;

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub(super) use self::arguments::BenchArgs;
use super::failure::Failure;
use super::output::{print_error, print_line, printable};
use progress::Progress;
use report::Report;
use rounds::{Load, Measured, origin};

impl BenchArgs {
    /// Measures and prints the report. Fails where nothing was measured or the content was wrong.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let load = Arc::new(self.load()?);
        open_files::too_few_for(self.connections()).iter().for_each(|warning| print_error(warning));
        let stop = stop_signals().map_err(|error| Failure::Input(format!("cannot listen for signals: {error}")))?;
        let progress = Progress::new();
        let measured = tokio::select! {
            measured = measure(&load, &progress, stop) => measured,
            never = progress.show(&load.live) => match never {},
        };
        progress.clear();
        let measured = measured?;
        let report = Report { load: &load, measured: &measured };
        print_line(&if self.json { format!("{:#}", report.json()) } else { printable(&report.text()) });
        verdict(&load, &measured)
    }
}

async fn measure(
    load: &Arc<Load>,
    progress: &Progress,
    mut stop: watch::Receiver<bool>,
) -> Result<Vec<Measured>, Failure> {
    tokio::select! {
        warm = load.warm_up(progress) => warm?,
        _ = stop.wait_for(|stop| *stop) => return Err(Failure::Bench("ended before anything was measured".to_owned())),
    }
    load.measure(progress, stop).await
}

/// Returns a flag that becomes true on SIGINT or SIGTERM, so that the results so far are printed.
fn stop_signals() -> io::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Fails where a server sent wrong content, or no pull succeeded.
fn verdict(load: &Load, measured: &[Measured]) -> Result<(), Failure> {
    for (server, measured) in load.servers.iter().zip(measured) {
        let wrong = measured.tally.wrong_digests();
        if wrong > 0 {
            return Err(Failure::Bench(format!(
                "{} sent wrong content: {wrong} digests did not match",
                origin(server)
            )));
        }
        if measured.tally.images.count() == 0 {
            let why = if measured.tally.failed > 0 { "all of them failed" } else { "there was not enough time" };
            return Err(Failure::Bench(format!("no pull from {} succeeded: {why}", origin(server))));
        }
    }
    Ok(())
}
