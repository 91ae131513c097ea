//! The service beside what people use today, on the same machine and data, in one run. See `benches/README.md` for how each
//! thing is measured.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "it prints its findings, and nothing outside this binary sees its items"
)]

mod contender;
mod interrupt;
mod lab;
mod load;
mod origin;
mod usage;

fn main() -> std::io::Result<()> {
    interrupt::watch()?;
    let lab = lab::Lab::new()?;
    let image = origin::Image::of(1, &[1 << 10, 64 << 10, 1 << 20, 100 << 20]);
    lab.origin.publish("library/warm", "1", &image);
    for tls in [false, true] {
        for kind in contender::ALL {
            let Some(running) = kind.start(&lab, tls)? else {
                println!("{} is not installed", kind.name());
                continue;
            };
            for (path, n) in [(running.manifest("library/warm", "1"), 32)]
                .into_iter()
                .chain(image.layers.iter().map(|l| (running.blob("library/warm", &l.digest), 32)))
            {
                let request = load::Request::new(&running, "GET", &path, None);
                for req in [request.clone(), request.closing()] {
                    let load = load::Load {
                        connections: n,
                        resumption: true,
                        until: load::Until::Elapsed(std::time::Duration::from_secs(1)),
                    };
                    let ready = load.connect(running.target, &req)?;
                    let before = running.usage();
                    let out = ready.go()?;
                    let used = running.usage() - before;
                    println!(
                        "{} tls={tls} {path} close={} {:.0}/s {:.0} MB/s p99 {} us {:?} resumed {} {:?}",
                        kind.name(),
                        req.close,
                        out.tally.answers as f64 / out.seconds,
                        out.tally.bytes as f64 / out.seconds / 1e6,
                        out.tally.total.value_at_quantile(0.99),
                        out.tally.errors,
                        out.tally.resumed,
                        used
                    );
                }
            }
        }
    }
    println!("{:?}", lab.origin.counts());
    Ok(())
}
