//! The parts of an image on its page: a table of platforms, and the layers of one of them as bars.

use maud::{Markup, html};

use super::formatting::{number_of, share, size};
use super::parts::{copy_button, short};
use super::table::{self, Column};
use crate::actors::images::{ImageParts, LayerPart, PlatformPart};

/// Shows the parts. `prefix` is what stands before a digest in the name of an image, and `wanted` the digest of the
/// platform whose layers are requested.
pub(super) fn show(parts: &ImageParts, prefix: &str, wanted: &str) -> Markup {
    let chosen = parts.platforms.iter().find(|part| part.digest.to_string() == wanted).or(parts.platforms.first());
    html! {
        @if parts.platforms.len() > 1 || !parts.others.is_empty() { (platforms(parts, prefix, chosen)) }
        @if let Some(chosen) = chosen { (layers(chosen)) }
    }
}

fn platforms(parts: &ImageParts, prefix: &str, chosen: Option<&PlatformPart>) -> Markup {
    let others: Vec<String> = parts.others.iter().map(ToString::to_string).collect();
    html! {
        section aria-labelledby="platforms" {
            h2 #platforms { "Platforms" }
            (table::show("Platforms", &[
                Column::main("Platform"),
                Column::new("Digest"),
                Column::num("Size"),
                Column::new("Stored"),
            ], html! {
                @for part in &parts.platforms {
                    (platform(part, prefix, chosen.is_some_and(|one| one.digest == part.digest)))
                }
            }))
            @if !others.is_empty() {
                p.hint {
                    "Nobody has pulled " (number_of(others.len() as u64, "platform")) " that the image has, too: "
                    (others.join(", ")) "."
                }
            }
        }
    }
}

fn platform(part: &PlatformPart, prefix: &str, is_chosen: bool) -> Markup {
    let missing = part.layers.iter().filter(|layer| !layer.is_stored).count();
    let (name, digest) = (name(part), format!("{prefix}@{}", part.digest));
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                div.name {
                    a href={ "?platform=" (part.digest) "#layers" } aria-current=[is_chosen.then_some("true")] {
                        b { (name) }
                    }
                }
            }
            td.two role="cell" data-label="Digest" {
                span.pair {
                    (short(&part.digest)) (copy_button(&digest, &format!("Copy the name of {name} with its digest")))
                }
            }
            td.num role="cell" data-label="Size" { (size(total(&part.layers))) }
            td role="cell" data-label="Stored" {
                @if missing == 0 { "All of it" } @else { "All but " (number_of(missing as u64, "layer")) }
            }
        }
    }
}

fn layers(part: &PlatformPart) -> Markup {
    let largest = part.layers.iter().filter_map(|layer| layer.size).max().unwrap_or_default();
    html! {
        section aria-labelledby="layers" {
            h2 #layers { "Layers of " (name(part)) }
            p.soft {
                (number_of(part.layers.len() as u64, "layer")) ", " (size(total(&part.layers))) " compressed, the
                lowest first. Layers that several images have are stored once."
            }
            (table::show(&format!("Layers of {}, the lowest first", name(part)), &[
                Column::new("Made by").class("wide-column"),
                Column::new("Digest"),
                Column::num("Size"),
                Column::new("Beside the largest").class("bar-column").unseen(),
            ], html! { @for layer in &part.layers { (row(layer, largest)) } }))
        }
    }
}

fn row(layer: &LayerPart, largest: u64) -> Markup {
    let command = layer.made_by.as_deref().filter(|command| !command.is_empty());
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                @match command { Some(command) => code { (command) }, None => span.soft { "unknown" } }
                @if !layer.is_stored { " " span.badge { "Not stored" } }
            }
            td.two role="cell" data-label="Digest" { span.mono.soft.small { (short(&layer.digest)) } }
            td.num role="cell" data-label="Size" {
                @match layer.size { Some(bytes) => (size(bytes)), None => "unknown" }
            }
            td.bar-cell.two role="cell" {
                @if let Some(bytes) = layer.size {
                    svg.share aria-hidden="true" {
                        rect x="0%" width={ (share(bytes, largest).max(0.4)) "%" } height="100%" {}
                    }
                }
            }
        }
    }
}

fn name(part: &PlatformPart) -> String {
    part.platform.as_ref().map_or("an unknown platform".to_owned(), ToString::to_string)
}

fn total(layers: &[LayerPart]) -> u64 {
    layers.iter().filter_map(|layer| layer.size).fold(0, u64::saturating_add)
}
