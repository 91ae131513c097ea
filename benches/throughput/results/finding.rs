//! A row that was measured: every server's samples, their medians, and what ours is in relation to the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::aim::Aim;
use super::figure::{Figure, Sample};
use super::summary::Summary;
use crate::contender::Kind;

/// A row with its samples.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What the row is called.
    pub name: String,
    /// The figure that it is about.
    pub figure: Figure,
    /// What ours should come to.
    pub aims: Vec<Aim>,
    /// The samples of each server, in the order of the rounds. A server that is not installed is not here.
    pub samples: Vec<(Kind, Vec<Sample>)>,
}

/// What is to be said of an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is within its bound.
    Met,
    /// It is not.
    Missed,
    /// The other server is not there.
    NotMeasured,
}

impl Verdict {
    /// As the table says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Finding {
    /// A figure of a server over all its rounds.
    pub fn summary(&self, kind: Kind, figure: Figure) -> Option<Summary> {
        let (_, samples) = self.samples.iter().find(|(known, _)| *known == kind)?;
        Summary::of(samples.iter().filter_map(|sample| sample.read(figure)).collect())
    }

    /// The median of ours as a multiple of another's.
    pub fn ratio(&self, figure: Figure, against: Kind) -> Option<f64> {
        let (ours, other) = (self.summary(Kind::Ours, figure)?, self.summary(against, figure)?);
        let ratio = ours.median / other.median;
        ratio.is_finite().then_some(ratio)
    }

    /// How often anything went wrong with this server, in all rounds.
    pub fn errors(&self, kind: Kind) -> u64 {
        let samples = self.samples.iter().filter(|(known, _)| *known == kind).flat_map(|(_, samples)| samples);
        samples.flat_map(|sample| sample.errors.values()).sum()
    }

    /// Its aims, each with what it came to, and what is to be said of that.
    pub fn verdicts(&self) -> impl Iterator<Item = (String, Verdict)> {
        self.aims.iter().map(|aim| match aim.value(self) {
            None => (aim.to_string(), Verdict::NotMeasured),
            Some(value) => {
                let verdict = if aim.bound.is_met(value) { Verdict::Met } else { Verdict::Missed };
                (format!("{aim}, is {}", aim.show(value)), verdict)
            }
        })
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        let servers = self.samples.iter().map(|(kind, samples)| (kind.name().to_owned(), self.server(*kind, samples)));
        let others = self.samples.iter().map(|(kind, _)| *kind).filter(|kind| *kind != Kind::Ours);
        let ratios = others.map(|kind| (kind.name().to_owned(), json!(self.ratio(self.figure, kind))));
        let aims = self.aims.iter().map(|aim| {
            let value = aim.value(self);
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
        let figures = Figure::ALL.into_iter().filter_map(|figure| {
            let Summary { median, min, max } = self.summary(kind, figure)?;
            Some((figure.key().to_owned(), json!({"median": median, "min": min, "max": max})))
        });
        let mut value = Value::Object(figures.collect());
        let sum = |count: fn(&Sample) -> u64| samples.iter().map(count).sum::<u64>();
        value["answers"] = sum(|sample| sample.answers).into();
        value["resumed_handshakes"] = sum(|sample| sample.resumed).into();
        value["upstream_requests"] = sum(|sample| sample.upstream.all()).into();
        value["upstream_requests_by_kind"] = samples.iter().map(|sample| json!(by_kind(sample))).collect();
        value["errors"] = samples.iter().flat_map(|sample| &sample.errors).map(|(why, n)| json!({why: n})).collect();
        value
    }
}

/// What upstream was asked in one round, without what it was not asked.
fn by_kind(sample: &Sample) -> BTreeMap<&'static str, u64> {
    sample.upstream.by_kind().into_iter().filter(|(_, count)| *count > 0).collect()
}
