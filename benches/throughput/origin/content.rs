//! Bytes that are made from a seed where they are needed: a gigabyte of them takes no memory and no disk, and is the same in
//! every run. They do not compress, and are no archive.

use std::io;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

/// How long the random block is that all generated content is cut from.
const BLOCK: usize = 1 << 20;

/// How far apart two seeds start in it: odd, so that no two of the first million start at the same place.
const STRIDE: u64 = 0x9_E377;

/// The same in every run: xorshift64 from a fixed start.
static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(BLOCK / 8).flat_map(u64::to_le_bytes).collect()
});

/// What a file of the origin consists of.
#[derive(Clone, Debug)]
pub enum Content {
    /// These very bytes.
    Bytes(Bytes),
    /// `size` bytes that this seed stands for.
    Generated {
        /// Two contents of one size differ where their seeds do.
        seed: u64,
        /// Bytes.
        size: u64,
    },
}

impl Content {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Generated { size, .. } => *size,
        }
    }

    /// Bytes from `offset` on without copying any: at least one, at most `most`, none only at the end.
    pub fn piece(&self, offset: u64, most: usize) -> Bytes {
        let left = self.size().saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        let (bytes, from) = match self {
            Self::Bytes(bytes) => (bytes, offset as usize),
            Self::Generated { seed, .. } => {
                (&*RANDOM, (seed.wrapping_mul(STRIDE).wrapping_add(offset) % BLOCK as u64) as usize)
            }
        };
        let from = from.min(bytes.len());
        bytes.slice(from..(from + most).min(bytes.len()))
    }

    /// Writes all of it.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        self.pieces().try_for_each(|piece| out.write_all(&piece))
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        self.pieces().for_each(|piece| context.update(&piece));
        format!("sha256:{}", hex::encode(context.finish()))
    }

    fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let piece = self.piece(offset, BLOCK);
            offset += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
