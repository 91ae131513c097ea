//! Traces of reads, from generators with fixed seeds.

const MIB: u64 = 1 << 20;

/// The reads of a cache in their order: each content, by a number, with its size in bytes.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) reads: Vec<(u64, u64)>,
    /// Sizes of the simulated caches in GiB.
    pub(crate) caches: [u64; 4],
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
struct Random(u64);

impl Trace {
    /// Returns pulls of images by a power law: 4,000 images of four layers of 1 to 256 MiB; the popularity of the image
    /// with rank `n` is `1 / n`. Every hundred pulls some ranks change, so that what was popular becomes less so.
    pub(crate) fn power_law() -> Self {
        const IMAGES: usize = 4_000;
        let mut random = Random(1);
        let mut layers: Vec<Vec<(u64, u64)>> = Vec::new();
        for image in 0..IMAGES as u64 {
            layers.push((0..4).map(|layer| (image * 4 + layer, MIB << random.below(9))).collect());
        }
        let mut ranks: Vec<usize> = (0..IMAGES).collect();
        let weights: Vec<f64> = (1..=IMAGES).map(|rank| 1.0 / rank as f64).collect();
        let mut reads = Vec::new();
        for pull in 0..40_000 {
            if pull % 100 == 0 {
                for _ in 0..8 {
                    let (one, other) = (random.below(IMAGES as u64) as usize, random.below(IMAGES as u64) as usize);
                    ranks.swap(one, other);
                }
            }
            reads.extend(&layers[ranks[random.weighted(&weights)]]);
        }
        Self { name: "power law, 4,000 images", reads, caches: [40, 80, 160, 320] }
    }

    /// Returns the pulls of a CI fleet: nine of ten jobs pull one of twelve base images, whose layers are as large as
    /// those of common images (alpine to CUDA), a few of them far more often than the others. One of ten pulls the
    /// image of a build: a base and two layers of its own, which is pulled one to three times and never again. A base
    /// image moves every 2,000 jobs.
    pub(crate) fn ci_fleet() -> Self {
        const BASES: [&[u64]; 12] = [
            &[48, 23, 63, 202, 20],
            &[48, 24, 64, 211, 6, 21],
            &[48, 24, 64, 92, 71],
            &[3],
            &[3, 16],
            &[29, 13, 9],
            &[47, 45, 180, 9],
            &[28, 4],
            &[30, 152, 3],
            &[3, 68, 2],
            &[29, 910, 1_410, 64],
            &[77, 330, 12],
        ];
        const WEIGHTS: [f64; 12] = [30.0, 22.0, 12.0, 9.0, 7.0, 5.0, 4.0, 3.0, 3.0, 2.0, 1.5, 1.5];
        let (mut random, mut next, mut reads) = (Random(2), 0, Vec::new());
        let mut fresh = |megabytes: u64| {
            next += 1;
            (next, megabytes * MIB)
        };
        let mut bases: Vec<Vec<(u64, u64)>> =
            BASES.iter().map(|layers| layers.iter().map(|size| fresh(*size)).collect()).collect();
        for job in 0..60_000 {
            if job % 2_000 == 1_999 {
                let moved = random.below(BASES.len() as u64) as usize;
                // The lowest layer, that of the distribution, stays.
                let above = BASES[moved].iter().skip(1).map(|size| fresh(*size)).collect::<Vec<_>>();
                bases[moved].truncate(1);
                bases[moved].extend(above);
            }
            let base = bases[random.weighted(&WEIGHTS)].clone();
            let is_build = random.below(10) == 0;
            let own =
                if is_build { vec![fresh(5 + random.below(120)), fresh(1 + random.below(30))] } else { Vec::new() };
            let pulls = if is_build { 1 + random.below(3) } else { 1 };
            for _ in 0..pulls {
                reads.extend(base.iter().chain(&own));
            }
        }
        Self { name: "CI fleet, 12 bases and 6,000 builds", reads, caches: [1, 2, 4, 8] }
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Returns an index, each with the probability of its weight.
    fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }
}
