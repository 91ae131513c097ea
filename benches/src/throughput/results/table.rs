//! The printed table: for each row its name, a line for each server, and its aims with the measured values.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::figure::Figure;
use super::finding::{Finding, Verdict};
use crate::throughput::contender::Kind;

const HEADER: [&str; 13] = [
    "",
    "median",
    "min..max",
    "first byte",
    "p50",
    "p99",
    "CPU/GB",
    "CPU/1,000",
    "resident",
    "highest",
    "upstream",
    "errors",
    "ours is",
];

/// Formats the table, with the missed aims once more at the end.
pub fn table(findings: &[Finding]) -> String {
    let servers = servers(findings);
    let mut lines = servers.lines();
    let mut text = lines.next().map(|header| format!("{header}\n")).unwrap_or_default();
    for finding in findings {
        text += &format!("{}\n", finding.name);
        for line in lines.by_ref().take(finding.samples.len()) {
            text += &format!("{}\n", line.trim_end());
        }
        for (aim, verdict) in finding.verdicts() {
            text += &format!("   {}: {aim}\n", verdict.word());
        }
    }
    text + &missed(findings)
}

/// Formats the missed aims.
fn missed(findings: &[Finding]) -> String {
    let all: Vec<_> =
        findings.iter().flat_map(|finding| finding.verdicts().map(move |verdict| (finding, verdict))).collect();
    let missed = all.iter().filter(|(_, (_, verdict))| *verdict == Verdict::Missed);
    let lines: Vec<String> = missed.map(|(finding, (aim, _))| format!("   {}: {aim}\n", finding.name)).collect();
    let measured = all.iter().filter(|(_, (_, verdict))| *verdict != Verdict::NotMeasured).count();
    format!("{} of {measured} aims were missed.\n{}", lines.len(), lines.concat())
}

/// Formats the lines of all servers as one table with one header line.
fn servers(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(HEADER);
    for finding in findings {
        table.add_rows(finding.samples.iter().map(|(kind, _)| cells(finding, *kind)));
    }
    for column in 1..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn cells(finding: &Finding, kind: Kind) -> Vec<String> {
    let show = |figure: Figure| {
        let summary = finding.summary(kind, figure);
        summary.map_or_else(|| "-".to_owned(), |summary| figure.show(summary.median))
    };
    let spread = finding.summary(kind, finding.figure).map(|summary| {
        let (min, max) = (finding.figure.show(summary.min), finding.figure.show(summary.max));
        format!("{min}..{max}")
    });
    let ratio = finding.ratio(finding.figure, kind).filter(|_| kind != Kind::Ours);
    vec![
        format!("   {}", kind.name()),
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
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} of it")),
    ]
}
