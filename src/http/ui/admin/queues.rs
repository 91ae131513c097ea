//! The requests to registries that are under way, and those that wait for a permit. Groups take turns among them.

use maud::{Markup, html};

use crate::actors::upstream_fetcher::UpstreamQueue;
use crate::http::ui::formatting::{number, number_of, share};
use crate::http::ui::table::{self, Column};

/// Share of a queue, in percent, from which on it is shown as nearly full.
const NEARLY_FULL_PERCENT: f64 = 75.0;

/// Shows the section: the registries with requests at present.
pub(super) fn section(queues: &[UpstreamQueue]) -> Markup {
    let is_busy = |queue: &&UpstreamQueue| queue.waiting > 0 || queue.in_use != [0; 3];
    let busy: Vec<&UpstreamQueue> = queues.iter().filter(is_busy).collect();
    html! {
        section aria-labelledby="queues" {
            h2 #queues { "Queues to registries" }
            @if busy.is_empty() {
                p { "No request to a registry is under way, and none waits." }
            } @else {
                (table(&busy))
                p.hint {
                    "At most as many requests of each kind are under way as the setting max_concurrent says. Where more
                    wait, groups take turns, so that many requests of one group delay a request of another by only one."
                }
            }
        }
    }
}

fn table(queues: &[&UpstreamQueue]) -> Markup {
    html! {
        (table::show("Queues to registries", &[
            Column::main("Registry"),
            Column::num("Short requests"),
            Column::num("Downloads"),
            Column::num("Ranges"),
            Column::new("Waiting"),
        ], html! { @for queue in queues { (row(queue)) } }))
    }
}

fn row(queue: &UpstreamQueue) -> Markup {
    let UpstreamQueue { upstream, in_use: [short, downloads, ranges], max_in_use, waiting, max_waiting, groups } =
        queue;
    let of = |count: &usize| format!("{} of {}", number(*count as u64), number(*max_in_use as u64));
    let full = share(*waiting as u64, *max_waiting as u64);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (upstream) } }
            td.num role="cell" data-label="Short requests" { (of(short)) }
            td.num role="cell" data-label="Downloads" { (of(downloads)) }
            td.num role="cell" data-label="Ranges" { (of(ranges)) }
            td.across role="cell" data-label="Waiting" {
                (number(*waiting as u64)) " of " (number(*max_waiting as u64))
                @if *waiting > 0 {
                    ", in turns of " (number_of(*groups as u64, "group"))
                    svg.share aria-hidden="true" {
                        rect.warn[full >= NEARLY_FULL_PERCENT] x="0%" width={ (full) "%" } height="100%" {}
                    }
                }
            }
        }
    }
}
