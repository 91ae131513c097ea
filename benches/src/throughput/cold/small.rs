//! Small images, such as CI jobs pull all day, and filling a cache with them.

use std::io;
use std::time::{Duration, Instant};

use fake_registry::{Image, Kind};

use super::crowd;
use super::pull::Pull;
use crate::throughput::contender::Running;
use crate::throughput::lab::Lab;

const REPOSITORY: &str = "library/small";
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Sizes of their layers in KiB, used in turn.
const LAYERS: [u64; 7] = [1_024, 10, 300, 64, 600, 20, 128];

/// Images that upstream serves.
pub(in crate::throughput) struct Small {
    images: Vec<Image>,
    tags_each: usize,
}

impl Small {
    /// Publishes this number of images of three to five layers, each under this number of tags.
    pub(in crate::throughput) fn publish(lab: &Lab, images: usize, tags_each: usize) -> Self {
        let layers = |image: usize| LAYERS.iter().cycle().skip(image).take(3 + image % 3).map(|kib| kib << 10);
        let images = (0..images).map(|image| Image::generated(100 + image as u64, &layers(image).collect::<Vec<_>>()));
        let small = Self { images: images.collect(), tags_each };
        for (tag, image) in small.tagged() {
            lab.upstream.push_image(REPOSITORY, &tag, image);
        }
        small
    }

    /// Returns the pulls of all tags from this server.
    pub(in crate::throughput) fn pulls(&self, server: &Running) -> Vec<Pull> {
        self.tagged().map(|(tag, image)| Pull::new(server, REPOSITORY, &tag, image)).collect()
    }

    /// Pulls and verifies every image, and the manifest of every tag, until no blob comes from upstream.
    pub(in crate::throughput) fn warm(&self, lab: &Lab, server: &Running) -> io::Result<()> {
        let pulls = self.pulls(server);
        // Everything is pulled each time; tags may be revalidated each time.
        let fetched = || lab.upstream.counts().of(Kind::BlobDownload);
        let deadline = Instant::now() + WARM_UP_TIMEOUT;
        while Instant::now() < deadline {
            eprintln!("  filling the cache of {}", server.kind.name());
            let before = fetched();
            let all = crowd::run(1, Duration::ZERO, async |_, state| {
                for pull in &pulls[..self.images.len()] {
                    pull.run(state, true).await?;
                }
                for pull in &pulls[self.images.len()..] {
                    pull.manifest(state).await?;
                }
                Ok(())
            })?;
            if let Some(why) = all.tally.errors.keys().next() {
                return Err(io::Error::other(format!("{}: {why}", server.kind.name())));
            }
            if fetched() == before {
                return Ok(());
            }
            // Distribution stores content shortly after it has passed it through.
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(io::Error::other(format!("{} does not cache", server.kind.name())))
    }

    fn tagged(&self) -> impl Iterator<Item = (String, &Image)> {
        let tags = 0..self.tags_each;
        tags.flat_map(|tag| self.images.iter().enumerate().map(move |(image, of)| (format!("{image}-{tag}"), of)))
    }
}
