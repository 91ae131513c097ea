//! Aims of a row.

use std::fmt;

use super::figure::Figure;
use crate::throughput::contender::Kind;

/// A bound on a figure of this service, relative to another server or absolute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// The figure.
    pub figure: Figure,
    /// Server whose figure is 1. `None`: the bound is absolute.
    pub against: Option<Kind>,
    /// The bound.
    pub bound: Bound,
}

/// A bound, inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Minimum.
    AtLeast(f64),
    /// Maximum.
    AtMost(f64),
}

impl Aim {
    /// Creates the aim of at least `times` the other server's figure.
    pub fn at_least(figure: Figure, times: f64, against: Kind) -> Self {
        Self { figure, against: Some(against), bound: Bound::AtLeast(times) }
    }

    /// Creates the aim of at most `times` the other server's figure.
    pub fn at_most(figure: Figure, times: f64, against: Kind) -> Self {
        Self { figure, against: Some(against), bound: Bound::AtMost(times) }
    }

    /// Creates an aim with an absolute bound.
    pub fn absolute(figure: Figure, bound: Bound) -> Self {
        Self { figure, against: None, bound }
    }

    /// Formats a value.
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
    /// Returns true where the value is within the bound.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}
