//! What a row should come to.

use std::fmt;

use super::figure::Figure;
use super::finding::Finding;
use crate::contender::Kind;

/// A bound on a figure of ours, as a multiple of another server's or as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// Of which figure.
    pub figure: Figure,
    /// Whose figure is 1. None: the value itself.
    pub against: Option<Kind>,
    /// What it must not fall below or exceed.
    pub bound: Bound,
}

/// A bound, itself included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Aim {
    /// At least so many times the other's.
    pub fn at_least(figure: Figure, times: f64, against: Kind) -> Self {
        Self { figure, against: Some(against), bound: Bound::AtLeast(times) }
    }

    /// At most so many times the other's.
    pub fn at_most(figure: Figure, times: f64, against: Kind) -> Self {
        Self { figure, against: Some(against), bound: Bound::AtMost(times) }
    }

    /// A bound on the figure itself.
    pub fn absolute(figure: Figure, bound: Bound) -> Self {
        Self { figure, against: None, bound }
    }

    /// What it came to; none where the other was not measured.
    pub fn value(&self, finding: &Finding) -> Option<f64> {
        match self.against {
            Some(kind) => finding.ratio(self.figure, kind),
            None => finding.summary(Kind::Ours, self.figure).map(|summary| summary.median),
        }
    }

    /// The value for people.
    pub fn show(&self, value: f64) -> String {
        if self.against.is_some() { format!("{value:.2}") } else { self.figure.show(value) }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        write!(f, "{} {sign} {}", self.figure.word(), self.show(bound))?;
        self.against.map_or(Ok(()), |kind| write!(f, " {}", kind.name()))
    }
}

impl Bound {
    /// Whether this value is within it.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}
