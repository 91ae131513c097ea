//! Content that is generated from a seed when it is read: a gigabyte takes no memory and no disk, and is the same in
//! every run. It is not compressible, and no archive.

use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

/// Generated content consists of blocks of this size, each cut from [`RANDOM`] elsewhere: no two blocks of a content
/// are equal, so that a block in the wrong place is noticed.
const BLOCK_BYTES: u64 = 1 << 19;

/// Distances in [`RANDOM`] between equal blocks of two seeds, and between two blocks of a seed. Both are odd: half a
/// million seeds, or blocks (256 GiB), pass before a start recurs.
const SEED_STRIDE: u64 = 0x9_E377;
const BLOCK_STRIDE: u64 = 0x2_F0B5;

/// Random bytes from which all generated content is cut, the same in every run: xorshift64 from a fixed start.
static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(2 * BLOCK_BYTES as usize / 8).flat_map(u64::to_le_bytes).collect()
});

/// Content of a blob or manifest.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// `size` bytes that are generated from this seed.
    Generated {
        /// The seed. Contents of one size with different seeds differ.
        seed: u64,
        /// Length in bytes.
        size: u64,
    },
}

impl Content {
    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Generated { size, .. } => *size,
        }
    }

    /// Returns bytes from `offset` on, without copying: at most `max`, at least one, and none only at the end.
    pub fn chunk(&self, offset: u64, max: usize) -> Bytes {
        let left = self.size().saturating_sub(offset);
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        match self {
            Self::Bytes(bytes) => bytes.slice(bytes.len() - left as usize..).split_to(max),
            Self::Generated { seed, .. } => {
                let (block, within) = (offset / BLOCK_BYTES, (offset % BLOCK_BYTES) as usize);
                let start = seed.wrapping_mul(SEED_STRIDE).wrapping_add(block.wrapping_mul(BLOCK_STRIDE)) % BLOCK_BYTES;
                let from = start as usize + within;
                RANDOM.slice(from..from + max.min(BLOCK_BYTES as usize - within))
            }
        }
    }

    /// Returns everything, in memory.
    pub fn to_vec(&self) -> Vec<u8> {
        self.part(0..self.size())
    }

    /// Returns the bytes of this range, in memory; those beyond the end are left out.
    pub fn part(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.chunks(range).for_each(|chunk| bytes.extend_from_slice(&chunk));
        bytes
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// Fails where the writer does.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        self.chunks(0..self.size()).try_for_each(|chunk| out.write_all(&chunk))
    }

    /// Returns the digest: `sha256:` and 64 hexadecimal digits. It takes half a second per gigabyte.
    pub fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        self.chunks(0..self.size()).for_each(|chunk| context.update(&chunk));
        format!("sha256:{}", hex::encode(context.finish()))
    }

    fn chunks(&self, mut range: Range<u64>) -> impl Iterator<Item = Bytes> {
        std::iter::from_fn(move || {
            let max = range.end.saturating_sub(range.start).min(BLOCK_BYTES) as usize;
            let chunk = self.chunk(range.start, max);
            range.start += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

/// A file that the registry serves.
#[derive(Clone, Debug)]
pub struct File {
    /// Value of `Content-Type`.
    pub media_type: String,
    /// Content.
    pub content: Content,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn content_is_the_same_from_every_offset_and_has_its_true_digest() {
        let generated = Content::Generated { seed: 7, size: 3 * MIB };
        let whole = generated.to_vec();
        assert_eq!(whole.len() as u64, generated.size());
        for content in [generated, Content::Bytes(whole.clone().into())] {
            for offset in [0, 1, MIB / 2 - 1, MIB / 2, MIB - 1, MIB, 3 * MIB - 1] {
                let chunk = content.chunk(offset, 1000);
                assert!(!chunk.is_empty() && whole[offset as usize..].starts_with(&chunk), "from {offset}");
            }
            assert!(content.chunk(3 * MIB, 1000).is_empty());
            assert_eq!(content.part(MIB / 2 - 7..MIB + 7), whole[MIB as usize / 2 - 7..MIB as usize + 7]);
            assert_eq!(content.part(3 * MIB - 1..3 * MIB + 1), whole[3 * MIB as usize - 1..]);
            assert!(content.part(5..5).is_empty());
            assert!(content.chunk(u64::MAX, 1000).is_empty());
            let digest = aws_lc_rs::digest::digest(&SHA256, &whole);
            assert_eq!(content.digest(), format!("sha256:{}", hex::encode(digest)));
        }
    }

    #[test]
    fn contents_of_other_seeds_differ_and_do_not_compress() {
        let digests: BTreeSet<_> = (0..1000).map(|seed| Content::Generated { seed, size: 64 }.digest()).collect();
        assert_eq!(digests.len(), 1000);
        let mut seen = [0_u32; 256];
        Content::Generated { seed: 1, size: MIB }.to_vec().iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        assert!(seen.iter().all(|count| (3500..4700).contains(count)), "{seen:?}");
    }

    #[test]
    fn no_part_of_a_content_recurs_in_it() {
        let whole = Content::Generated { seed: 3, size: 64 * MIB }.to_vec();
        for step in [64 << 10, 256 << 10, MIB as usize] {
            let parts: BTreeSet<&[u8]> = whole.chunks(step).collect();
            assert_eq!(parts.len(), whole.len() / step, "{step}");
        }
    }
}
