//! Small images, such as CI jobs pull all day, and getting them into a cache.

use std::io;
use std::time::{Duration, Instant};

use super::crowd;
use super::pull::Pull;
use crate::contender::Running;
use crate::lab::Lab;
use crate::origin::{Asked, Image};

const REPOSITORY: &str = "library/small";
const PATIENCE: Duration = Duration::from_secs(60);

/// The sizes in KiB that their layers have in turn.
const LAYERS: [u64; 7] = [1_024, 10, 300, 64, 600, 20, 128];

/// Images that the origin has.
pub(super) struct Small {
    images: Vec<Image>,
    tags_each: usize,
}

impl Small {
    /// So many images of three to five layers, each under so many tags.
    pub(super) fn publish(lab: &Lab, images: usize, tags_each: usize) -> Self {
        let layers = |image: usize| LAYERS.iter().cycle().skip(image).take(3 + image % 3).map(|kib| kib << 10);
        let images = (0..images).map(|image| Image::of(100 + image as u64, &layers(image).collect::<Vec<_>>()));
        let small = Self { images: images.collect(), tags_each };
        for (tag, image) in small.tagged() {
            lab.origin.publish(REPOSITORY, &tag, image);
        }
        small
    }

    /// The pulls of all tags from this server.
    pub(super) fn pulls(&self, server: &Running) -> Vec<Pull> {
        self.tagged().map(|(tag, image)| Pull::new(server, REPOSITORY, &tag, image)).collect()
    }

    /// Pulls every image, checking it, and every tag's manifest, until no blob comes from upstream any more.
    pub(super) fn warm(&self, lab: &Lab, server: &Running) -> io::Result<()> {
        let pulls = self.pulls(server);
        // Each time everything is pulled; tags may be asked about again each time.
        let fetched = || lab.origin.counts().of(Asked::BlobGet);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            eprintln!("  filling the cache of {}", server.kind.name());
            let before = fetched();
            let all = crowd::run(1, Duration::ZERO, async |_, desk| {
                for pull in &pulls[..self.images.len()] {
                    pull.run(desk, true).await?;
                }
                for pull in &pulls[self.images.len()..] {
                    pull.manifest(desk).await?;
                }
                Ok(())
            })?;
            if let Some(why) = all.tally.errors.keys().next() {
                return Err(io::Error::other(format!("{}: {why}", server.kind.name())));
            }
            if fetched() == before {
                return Ok(());
            }
            // Distribution stores what it passes through a moment later.
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(io::Error::other(format!("{} does not cache", server.kind.name())))
    }

    fn tagged(&self) -> impl Iterator<Item = (String, &Image)> {
        let tags = 0..self.tags_each;
        tags.flat_map(|tag| self.images.iter().enumerate().map(move |(image, of)| (format!("{image}-{tag}"), of)))
    }
}
