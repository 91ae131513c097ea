//! The downloads in flight, with their progress.

use maud::{Markup, html};

use crate::actors::images::RunningDownload;
use crate::domain::speed::time_left;
use crate::http::ui::address::ADMIN;
use crate::http::ui::formatting::{duration, number, size};
use crate::http::ui::parts::short;
use crate::http::ui::table::{self, Column};

/// Maximum number of downloads that are shown: the largest remainders.
const MAX_SHOWN: usize = 50;

/// Shows the section. `reloads` is true if the page loads itself again.
pub(super) fn section(running: &[RunningDownload], reloads: bool) -> Markup {
    html! {
        section aria-labelledby="flight" {
            div.head {
                h2 #flight { "Downloads in flight " span.count { (number(running.len() as u64)) } }
                @if reloads { a.button.minor href=(ADMIN) { "Stop reloading" } }
                @else { a.button.minor href={ (ADMIN) "?reload=5#flight" } { "Reload every 5 s" } }
            }
            @if running.is_empty() {
                p { "Nothing is being downloaded from a registry." }
            } @else {
                (table(running))
                p.hint { "All clients of a blob share one download, which goes on if they leave." }
            }
        }
    }
}

fn table(running: &[RunningDownload]) -> Markup {
    let mut running: Vec<&RunningDownload> = running.iter().collect();
    running.sort_by_key(|download| {
        std::cmp::Reverse(download.length.unwrap_or(u64::MAX).saturating_sub(download.received))
    });
    html! {
        (table::show("Downloads in flight", &[
            Column::main("Repository"),
            Column::new("Blob"),
            Column::new("Downloaded"),
            Column::num("Speed"),
            Column::num("Left"),
        ], html! { @for download in running.into_iter().take(MAX_SHOWN) { (row(download)) } }))
    }
}

/// Returns the speed of the last seconds, in words.
fn speed(download: &RunningDownload) -> String {
    match download.bytes_per_second {
        None => "–".to_owned(),
        Some(0) => "waiting".to_owned(),
        Some(speed) => format!("{}/s", size(speed)),
    }
}

/// Returns how long the rest takes at that speed, in words.
fn left(download: &RunningDownload) -> String {
    let rest = download.length.map(|length| length.saturating_sub(download.received));
    let time = rest.zip(download.bytes_per_second).and_then(|(rest, speed)| time_left(rest, speed));
    time.map_or("unknown".to_owned(), duration)
}

fn row(download: &RunningDownload) -> Markup {
    let (name, received) = (download.origin.image_name(), size(download.received));
    let blob = short(&download.digest);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (name) } }
            td role="cell" data-label="Blob" { code { (blob) } }
            td.two role="cell" data-label="Downloaded" {
                @match download.length {
                    Some(length) => {
                        progress max=(length.max(1)) value=(download.received) aria-label={ "Downloaded of " (blob) } {
                            (received)
                        }
                        span.under { (received) " of " (size(length)) }
                    },
                    None => { (received) span.under { "the registry has not said how long it is" } },
                }
            }
            td.num role="cell" data-label="Speed" { (speed(download)) }
            td.num role="cell" data-label="Left" { (left(download)) }
        }
    }
}
