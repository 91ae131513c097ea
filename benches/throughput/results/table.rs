//! The one table that people read: a line for each server of each row.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::figure::Figure;
use super::finding::Finding;
use crate::contender::Kind;

const HEADER: [&str; 14] = [
    "row",
    "server",
    "median",
    "spread",
    "first byte p50",
    "p50",
    "p99",
    "CPU s/GB",
    "CPU s/1,000",
    "resident",
    "at most",
    "upstream/answer",
    "errors",
    "ours is",
];

/// Draws it; the aims of a row stand below it, each with what it came to.
pub fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for finding in findings {
        for (line, (kind, _)) in finding.samples.iter().enumerate() {
            let name = if line == 0 { finding.name.as_str() } else { "" };
            table.add_row(cells(finding, name, *kind));
        }
        for aim in &finding.aims {
            table.add_row(vec![format!("  {}", aim.verdict(finding))]);
        }
    }
    for column in 2..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn cells(finding: &Finding, name: &str, kind: Kind) -> Vec<String> {
    let show = |figure: Figure| {
        let summary = finding.summary(kind, figure);
        summary.map_or_else(|| "-".to_owned(), |summary| figure.show(summary.median))
    };
    let spread = finding.summary(kind, finding.figure).map(|summary| {
        let (min, max) = (finding.figure.show(summary.min), finding.figure.show(summary.max));
        format!("{}..{max}", min.split(['/', ' ']).next().unwrap_or(&min))
    });
    let ratio = finding.ratio(finding.figure, kind).filter(|_| kind != Kind::Ours);
    vec![
        name.to_owned(),
        kind.name().to_owned(),
        show(finding.figure),
        spread.unwrap_or_else(|| "-".to_owned()),
        show(Figure::FirstByteP50),
        show(Figure::P50),
        show(Figure::P99),
        show(Figure::CpuPerGigabyte),
        show(Figure::CpuPerThousand),
        show(Figure::Resident),
        show(Figure::Peak),
        show(Figure::UpstreamPerAnswer),
        finding.errors(kind).to_string(),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]
}
