//! A measured row: the samples of every server, their medians, and the ratios of this service to the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::aim::Aim;
use super::figure::Figure;
use super::sample::Sample;
use super::summary::Summary;
use crate::throughput::contender::Kind;

/// A row with its samples.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Name of the row.
    pub name: String,
    /// Main figure of the row.
    pub figure: Figure,
    /// Aims for this service.
    pub aims: Vec<Aim>,
    /// Samples of each server, in the order of the rounds. Servers that are not installed are missing.
    pub samples: Vec<(Kind, Vec<Sample>)>,
}

/// Result of an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value is within the bound.
    Met,
    /// The value is not within the bound.
    Missed,
    /// The other server is not installed.
    NotMeasured,
}

impl Verdict {
    /// Returns the word for the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Finding {
    /// Returns median, minimum and maximum of a figure of a server over all rounds.
    pub fn summary(&self, kind: Kind, figure: Figure) -> Option<Summary> {
        let (_, samples) = self.samples.iter().find(|(known, _)| *known == kind)?;
        Summary::of(samples.iter().filter_map(|sample| sample.read(figure)).collect())
    }

    /// Returns the median of this service as a multiple of another server's.
    pub fn ratio(&self, figure: Figure, against: Kind) -> Option<f64> {
        let (ours, other) = (self.summary(Kind::Ours, figure)?, self.summary(against, figure)?);
        let ratio = ours.median / other.median;
        ratio.is_finite().then_some(ratio)
    }

    /// Returns the measured value of an aim; `None` where the other server was not measured.
    fn value(&self, aim: &Aim) -> Option<f64> {
        match aim.against {
            Some(kind) => self.ratio(aim.figure, kind),
            // A request that fails in one round is one too many.
            None if aim.figure == Figure::Errors => self.summary(Kind::Ours, aim.figure).map(|summary| summary.max),
            None => self.summary(Kind::Ours, aim.figure).map(|summary| summary.median),
        }
    }

    /// Returns the number of errors of this server in all rounds.
    pub fn errors(&self, kind: Kind) -> u64 {
        let samples = self.samples.iter().filter(|(known, _)| *known == kind).flat_map(|(_, samples)| samples);
        samples.flat_map(|sample| sample.errors.values()).sum()
    }

    /// Returns the aims, each with its text and result.
    pub fn verdicts(&self) -> impl Iterator<Item = (String, Verdict)> {
        self.aims.iter().map(|aim| match self.value(aim) {
            None => (aim.to_string(), Verdict::NotMeasured),
            Some(value) => {
                let verdict = if aim.bound.is_met(value) { Verdict::Met } else { Verdict::Missed };
                (format!("{aim}, is {}", aim.show(value)), verdict)
            }
        })
    }

    /// Returns everything as JSON.
    pub fn to_json(&self) -> Value {
        let servers = self.samples.iter().map(|(kind, samples)| (kind.name().to_owned(), self.server(*kind, samples)));
        let others = self.samples.iter().map(|(kind, _)| *kind).filter(|kind| *kind != Kind::Ours);
        let ratios = others.map(|kind| (kind.name().to_owned(), json!(self.ratio(self.figure, kind))));
        let aims = self.aims.iter().map(|aim| {
            let value = self.value(aim);
            json!({"aim": aim.to_string(), "value": value, "met": value.map(|value| aim.bound.is_met(value))})
        });
        json!({
            "row": self.name,
            "figure": self.figure.key(),
            "servers": servers.collect::<serde_json::Map<_, _>>(),
            "ours_as_a_multiple_of": ratios.collect::<serde_json::Map<_, _>>(),
            "aims": aims.collect::<Vec<_>>(),
        })
    }

    fn server(&self, kind: Kind, samples: &[Sample]) -> Value {
        let figures = Figure::all().filter_map(|figure| {
            let Summary { median, min, max } = self.summary(kind, figure)?;
            Some((figure.key().to_owned(), json!({"median": median, "min": min, "max": max})))
        });
        let mut value = Value::Object(figures.collect());
        let sum = |count: fn(&Sample) -> u64| samples.iter().map(count).sum::<u64>();
        value["answers"] = sum(|sample| sample.answers).into();
        value["resumed_handshakes"] = sum(|sample| sample.resumed).into();
        value["upstream_requests"] = sum(|sample| sample.upstream.total()).into();
        value["upstream_requests_by_kind"] = samples.iter().map(|sample| json!(by_kind(sample))).collect();
        value["errors"] = samples.iter().flat_map(|sample| &sample.errors).map(|(why, n)| json!({why: n})).collect();
        value
    }
}

/// Returns the upstream requests of one round by kind, without those kinds that did not occur.
fn by_kind(sample: &Sample) -> BTreeMap<&'static str, u64> {
    let counts = sample.upstream.by_kind().filter(|(_, count)| *count > 0);
    counts.map(|(kind, count)| (kind.name(), count)).collect()
}
