//! Faults of upstream in a soak: what registries and networks do wrong, one after the other.

use std::time::Duration;

use fake_registry::{Kind, Listener, Rule};
use tokio::time::sleep;

use super::Soak;
use super::site::{LAYER_BYTES, MOVES, MOVING};
use crate::crash::Chances;

impl Soak {
    /// Has upstream misbehave until the end: mostly in one way at a time, and with pauses.
    pub(super) async fn inject_faults(&self, mut chances: Chances) {
        while !self.is_over() {
            sleep(chances.moment(400)).await;
            self.hub.behave();
            match chances.below(8) {
                0 => self.be_down(&mut chances).await,
                1 => {
                    self.report.upstream_begins("expired tokens".to_owned());
                    self.hub.expire_tokens();
                }
                2 => self.move_tag(&mut chances),
                3 => {
                    self.fault_of_blobs(&mut chances);
                    self.fault_of_anything(&mut chances);
                }
                4 | 5 => self.fault_of_blobs(&mut chances),
                _ => self.fault_of_anything(&mut chances),
            }
            sleep(chances.moment(600)).await;
            self.hub.release();
            self.report.faults.add(self.hub.take_faults());
            // Otherwise they would be kept for hours.
            self.hub.reset_counts();
        }
    }

    async fn be_down(&self, chances: &mut Chances) {
        let all = [Listener::Registry, Listener::Storage, Listener::Realm];
        let listener = all[chances.below(3) as usize];
        self.report.upstream_begins(format!("{listener:?} down"));
        self.hub.down(listener);
        sleep(chances.moment(1_500)).await;
        self.hub.up(listener);
        self.report.faults.add(1);
    }

    fn move_tag(&self, chances: &mut Chances) {
        let tag = chances.below(MOVES).to_string();
        let product = self.products.iter().find(|product| product.image == MOVING.0 && product.tag == tag).unwrap();
        self.hub.move_tag(&format!("library/{}", MOVING.0), MOVING.1, &product.digest);
    }

    /// Injects cut, wrong, slow and stalled downloads, and lengths that are missing or wrong.
    fn fault_of_blobs(&self, chances: &mut Chances) {
        let at = chances.below(LAYER_BYTES);
        let rule = self.times(Kind::BlobDownload, chances);
        let fault = chances.below(8);
        self.report.upstream_begins(format!("fault {fault} of downloads at {at}"));
        let _: Rule<'_> = match fault {
            0 => rule.cut_after(at),
            1 => rule.close_after(at),
            2 => rule.flip_byte(at),
            3 => rule.hold_after(at),
            4 => rule.slow(500_000 + at),
            5 => rule.without_content_length(),
            6 => rule.status([500, 502, 503, 504][(at % 4) as usize]),
            _ => rule.cut_after(at / 1_000),
        };
    }

    /// Injects refusals, pages of portals, silence and resets, for any kind of request.
    fn fault_of_anything(&self, chances: &mut Chances) {
        let kinds = [Kind::ManifestGet, Kind::ManifestHead, Kind::BlobRedirect, Kind::BlobHead, Kind::Token];
        let kind = kinds[chances.below(kinds.len() as u64) as usize];
        let rule = self.times(kind, chances);
        let fault = chances.below(8);
        self.report.upstream_begins(format!("fault {fault} of {kind:?}"));
        let _: Rule<'_> = match fault {
            0 => rule.status(500),
            1 => rule.status(503),
            2 => rule.too_many_requests(1),
            3 => rule.html(),
            4 => rule.hang(),
            5 => rule.delay(Duration::from_millis(700)),
            // A token that arrives wrong is refused, and that cannot be distinguished from a refused image.
            6 if kind != Kind::Token => rule.flip_byte(chances.below(300)),
            _ => rule.reset(),
        };
    }

    fn times(&self, kind: Kind, chances: &mut Chances) -> Rule<'_> {
        self.hub.on(kind).times(1 + chances.below(4) as usize)
    }
}
