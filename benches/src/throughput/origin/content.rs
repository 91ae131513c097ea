//! Content that is generated from a seed when it is needed: a gigabyte takes no memory and no disk, and is the same
//! in every run. It is not compressible, and no archive.

use std::io;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

/// Length of the random block from which all generated content is cut.
const BLOCK_BYTES: usize = 1 << 20;

/// Distance of the start positions of two seeds in the block: odd, so that the first million seeds have different ones.
const STRIDE: u64 = 0x9_E377;

/// The random block, the same in every run: xorshift64 from a fixed start.
static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(BLOCK_BYTES / 8).flat_map(u64::to_le_bytes).collect()
});

/// Content of a file of the origin.
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

    /// Returns bytes from `offset` on, without copying: at most `most`, at least one, and none only at the end.
    pub fn chunk(&self, offset: u64, most: usize) -> Bytes {
        let left = self.size().saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        let (bytes, from) = match self {
            Self::Bytes(bytes) => (bytes, offset as usize),
            Self::Generated { seed, .. } => {
                (&*RANDOM, (seed.wrapping_mul(STRIDE).wrapping_add(offset) % BLOCK_BYTES as u64) as usize)
            }
        };
        let from = from.min(bytes.len());
        bytes.slice(from..(from + most).min(bytes.len()))
    }

    /// Writes the whole content.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        self.chunks().try_for_each(|chunk| out.write_all(&chunk))
    }

    /// Returns the digest: `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        self.chunks().for_each(|chunk| context.update(&chunk));
        format!("sha256:{}", hex::encode(context.finish()))
    }

    fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let chunk = self.chunk(offset, BLOCK_BYTES);
            offset += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bytes(content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        content.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn content_is_the_same_from_every_offset_and_has_its_true_digest() {
        let content = Content::Generated { seed: 7, size: 3 << 20 };
        let whole = bytes(&content);
        assert_eq!(whole.len() as u64, content.size());
        for offset in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
            let chunk = content.chunk(offset, 1000);
            assert!(!chunk.is_empty() && whole[offset as usize..].starts_with(&chunk), "from {offset}");
        }
        assert!(content.chunk(3 << 20, 1000).is_empty());
        let digest = aws_lc_rs::digest::digest(&SHA256, &whole);
        assert_eq!(content.digest(), format!("sha256:{}", hex::encode(digest)));
    }

    #[test]
    fn contents_of_other_seeds_differ_and_do_not_compress() {
        let digests: BTreeSet<_> = (0..1000).map(|seed| Content::Generated { seed, size: 64 }.digest()).collect();
        assert_eq!(digests.len(), 1000);
        let mut seen = [0_u32; 256];
        bytes(&Content::Generated { seed: 1, size: 1 << 20 }).iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        assert!(seen.iter().all(|count| (3500..4700).contains(count)), "{seen:?}");
    }
}
