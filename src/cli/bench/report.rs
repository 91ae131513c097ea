//! Report of the measurements, as text for people and as JSON for programs. It warns where two servers sent different
//! images.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::rounds::{Load, Measured, Round, Server, origin};
use super::tally::{Latency, ResponseTimes};
use crate::cli::output::{Columns, list};
use crate::domain::digest::Digest;

/// The measurements, in the order of the servers of the load.
pub(super) struct Report<'a> {
    pub(super) load: &'a Load,
    pub(super) measured: &'a [Measured],
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
const LATENCIES: Columns = &["milliseconds", "count", "p50", "p90", "p99", "max"];
const ERRORS: Columns = &["errors", "at", "kind", "first of them"];
const DIGESTS: Columns = &["images", "image", "digest"];
const RATIOS: Columns = &["first / second", "ratio", "rounds"];

impl Report<'_> {
    /// Formats the report as text.
    pub(super) fn text(&self) -> String {
        let parts = self.servers().map(|(server, measured)| self.server_text(server, measured));
        let mut text = parts.collect::<Vec<_>>().join("\n\n");
        if let [first, second] = self.measured {
            text += &format!("\n\n{}", list(RATIOS, &ratio_lines(first, second)));
        }
        self.differences().iter().for_each(|difference| text += &format!("\n\nWarning: {difference}"));
        text
    }

    /// Formats the report as JSON.
    pub(super) fn json(&self) -> Value {
        let servers: Vec<Value> = self.servers().map(|(server, measured)| self.server_json(server, measured)).collect();
        let mut report = json!({
            "clients": self.load.clients,
            "platform": self.load.scope.platform.to_string(),
            "manifests_only": self.load.scope.manifests_only,
            "new_connections": self.load.connection.new_connections,
            "servers": servers,
        });
        if let [first, second] = self.measured {
            report["ratios"] = ratios(first, second);
            report["differences"] = json!(self.differences());
        }
        report
    }

    fn servers(&self) -> impl Iterator<Item = (&Server, &Measured)> {
        self.load.servers.iter().zip(self.measured)
    }

    fn server_text(&self, server: &Server, measured: &Measured) -> String {
        let tally = &measured.tally;
        let head = format!(
            "{}: {} images in {:.1} s, {} failed\n{:.1} images/s, {:.1} MB/s, {} tokens",
            origin(server),
            tally.images.count(),
            measured.seconds(),
            tally.failed,
            measured.images_per_second(),
            measured.megabytes_per_second(),
            tokens(server),
        );
        let digests: Vec<Value> = self.digests(server, measured).iter().map(digest_line).collect();
        let tables = [(LATENCIES, latency_lines(measured)), (ERRORS, error_lines(measured)), (DIGESTS, digests)];
        let tables = tables.iter().filter(|(_, lines)| !lines.is_empty()).map(|(columns, lines)| list(columns, lines));
        std::iter::once(head).chain(tables).collect::<Vec<_>>().join("\n\n")
    }

    fn server_json(&self, server: &Server, measured: &Measured) -> Value {
        let tally = &measured.tally;
        let round = |round: &Round| json!({"seconds": round.seconds, "pulls": round.pulls, "bytes": round.bytes});
        json!({
            "url": origin(server),
            "seconds": measured.seconds(),
            "pulls": tally.images.count(),
            "failed": tally.failed,
            "bytes": tally.bytes,
            "images_per_second": measured.images_per_second(),
            "megabytes_per_second": measured.megabytes_per_second(),
            "tokens": tokens(server),
            "latency_ms": latencies(measured),
            "errors": errors(measured),
            "digests": self.digests(server, measured),
            "rounds": measured.rounds.iter().map(round).collect::<Vec<_>>(),
        })
    }

    fn digests(&self, server: &Server, measured: &Measured) -> Vec<Value> {
        let names = self.names(server).into_iter().enumerate();
        let served = names.flat_map(|(image, name)| {
            let digests = measured.tally.digests(image);
            digests.map(move |(digest, count)| json!({"image": name, "digest": digest, "count": count}))
        });
        served.collect()
    }

    /// Returns the names of the images at this server.
    fn names(&self, server: &Server) -> Vec<String> {
        let images = server.sessions.iter().zip(&self.load.references);
        let separator = |reference: &str| if reference.contains(':') { '@' } else { ':' };
        images.map(|(session, text)| format!("{}{}{text}", session.repository(), separator(text))).collect()
    }

    /// Returns a warning for each image of which the two servers sent different manifests.
    fn differences(&self) -> Vec<String> {
        let ([first, second], [server, _]) = (self.measured, self.load.servers.as_slice()) else { return Vec::new() };
        let given = |measured: &Measured, image| {
            measured.tally.digests(image).map(|(digest, _)| digest).collect::<BTreeSet<Digest>>()
        };
        let differs = |(image, name): (usize, String)| {
            let (ours, theirs) = (given(first, image), given(second, image));
            let comparable = !ours.is_empty() && !theirs.is_empty();
            (comparable && ours != theirs).then(|| format!("the servers sent different images for {name}"))
        };
        self.names(server).into_iter().enumerate().filter_map(differs).collect()
    }
}

impl Measured {
    fn seconds(&self) -> f64 {
        self.rounds.iter().map(|round| round.seconds).sum()
    }

    fn images_per_second(&self) -> f64 {
        per(self.tally.images.count() as f64, self.seconds())
    }

    fn megabytes_per_second(&self) -> f64 {
        per(self.tally.bytes as f64 / 1e6, self.seconds())
    }
}

fn tokens(server: &Server) -> u64 {
    server.sessions.iter().map(super::session::Session::tokens).sum()
}

/// Returns all reported latencies with their names.
fn timed(measured: &Measured) -> [(&'static str, &'static str, &Latency); 5] {
    let ResponseTimes { first_byte, total } = &measured.tally.manifests;
    let blobs = &measured.tally.blobs;
    [
        ("manifest", "first_byte", first_byte),
        ("manifest", "total", total),
        ("blob", "first_byte", &blobs.first_byte),
        ("blob", "total", &blobs.total),
        ("image", "total", &measured.tally.images),
    ]
}

fn latencies(measured: &Measured) -> Value {
    let mut all = json!({});
    for (part, which, latency) in timed(measured) {
        all[part][which] = Value::Object(quantiles(latency, |milliseconds| json!(milliseconds)));
    }
    all
}

fn latency_lines(measured: &Measured) -> Vec<Value> {
    let some = timed(measured).into_iter().filter(|(_, _, latency)| latency.count() > 0);
    let lines = some.map(|(part, which, latency)| {
        let mut line = quantiles(latency, |milliseconds| json!(figure(milliseconds)));
        line.insert("milliseconds".to_owned(), json!(format!("{part}, {}", which.replace('_', " "))));
        Value::Object(line)
    });
    lines.collect()
}

fn quantiles(latency: &Latency, shown: impl Fn(f64) -> Value) -> Map<String, Value> {
    let quantile = |(name, quantile): (&str, f64)| {
        let milliseconds = latency.milliseconds(quantile);
        (name.to_owned(), milliseconds.map_or(Value::Null, &shown))
    };
    let count = ("count".to_owned(), json!(latency.count()));
    QUANTILES.into_iter().map(quantile).chain([count]).collect()
}

fn errors(measured: &Measured) -> Vec<Value> {
    let errors = measured.tally.errors().into_iter().map(|(kind, errors)| {
        let (status, code) = kind.status.clone().unzip();
        json!({"at": kind.part.name(), "kind": kind.kind, "status": status, "code": code,
               "count": errors.count, "example": errors.example})
    });
    errors.collect()
}

fn error_lines(measured: &Measured) -> Vec<Value> {
    let lines = measured.tally.errors().into_iter().map(|(kind, errors)| {
        let status = kind.status.iter().map(|(status, code)| format!(" {status} {code}"));
        let name = format!("{}{}", kind.kind, status.collect::<String>());
        json!({"errors": errors.count, "at": kind.part.name(), "kind": name.trim_end(), "first of them": errors.example})
    });
    lines.collect()
}

fn digest_line(served: &Value) -> Value {
    json!({"images": served["count"], "image": served["image"], "digest": served["digest"]})
}

fn ratios(first: &Measured, second: &Measured) -> Value {
    let mut all = json!({
        "images_per_second": ratio(first.images_per_second(), second.images_per_second()),
        "megabytes_per_second": ratio(first.megabytes_per_second(), second.megabytes_per_second()),
    });
    for ((part, which, ours), (_, _, theirs)) in timed(first).into_iter().zip(timed(second)) {
        for (name, quantile) in QUANTILES {
            let both = ours.milliseconds(quantile).zip(theirs.milliseconds(quantile));
            all["latency"][part][which][name] = json!(both.and_then(|(ours, theirs)| ratio(ours, theirs)));
        }
    }
    all
}

fn ratio_lines(first: &Measured, second: &Measured) -> Vec<Value> {
    let speeds = [
        ("images/s", first.images_per_second(), second.images_per_second(), spread(first, second, |round| round.pulls)),
        (
            "MB/s",
            first.megabytes_per_second(),
            second.megabytes_per_second(),
            spread(first, second, |round| round.bytes),
        ),
    ];
    let mut lines: Vec<Value> =
        speeds.into_iter().map(|(name, ours, theirs, rounds)| line(name, ours, theirs, rounds)).collect();
    for ((part, which, ours), (_, _, theirs)) in timed(first).into_iter().zip(timed(second)) {
        for (name, quantile) in [QUANTILES[0], QUANTILES[2]] {
            if let Some((ours, theirs)) = ours.milliseconds(quantile).zip(theirs.milliseconds(quantile)) {
                lines.push(line(&format!("{part}, {}, {name}", which.replace('_', " ")), ours, theirs, None));
            }
        }
    }
    lines
}

fn line(name: &str, ours: f64, theirs: f64, rounds: Option<(f64, f64)>) -> Value {
    let rounds = rounds.map_or_else(String::new, |(least, most)| format!("{least:.2} to {most:.2}"));
    let ratio = ratio(ours, theirs).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    json!({"first / second": name, "ratio": ratio, "rounds": rounds})
}

/// Returns the minimum and the maximum ratio of a round of the first server to the following round of the second.
fn spread(first: &Measured, second: &Measured, what: impl Fn(&Round) -> u64) -> Option<(f64, f64)> {
    let speed = |round: &Round| per(what(round) as f64, round.seconds);
    let pairs = first.rounds.iter().zip(&second.rounds);
    let ratios: Vec<f64> = pairs.filter_map(|(ours, theirs)| ratio(speed(ours), speed(theirs))).collect();
    let least = ratios.iter().copied().reduce(f64::min)?;
    Some((least, ratios.into_iter().fold(least, f64::max)))
}

fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    (theirs > 0.0).then(|| ours / theirs)
}

fn per(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

/// Formats a number with three significant digits, the precision of the histograms.
fn figure(milliseconds: f64) -> String {
    match milliseconds {
        small if small < 10.0 => format!("{small:.2}"),
        middling if middling < 100.0 => format!("{middling:.1}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests;
