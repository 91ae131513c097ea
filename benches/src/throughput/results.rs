//! Evaluation of the measurements: figures, medians, ratios, aims, the table and the JSON.

mod aim;
mod figure;
mod finding;
mod machine;
mod report;
mod sample;
mod summary;
mod table;

pub use aim::{Aim, Bound};
pub use figure::Figure;
pub use finding::Finding;
pub use machine::Machine;
pub use report::write;
pub use sample::Sample;
pub use table::table;
