//! Records that are drawn with replacement: `size` and `weight` in a description of datasets of LLaMA-Factory's version 1
//! (`plugins/data_plugins/loader.py` there), by the numbers that Python's `random.choices` takes after `random.seed`.

/// The most records that one dataset may become.
const MOST: usize = 50_000_000;

/// How many records of a dataset are drawn; without either, each comes once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Draw {
    /// So many.
    pub(super) size: Option<usize>,
    /// Then so many times as many as there are.
    pub(super) weight: Option<f64>,
}

impl Draw {
    /// Whether anything is drawn.
    pub(super) fn is_wanted(self) -> bool {
        self != Draw::default()
    }

    /// How often each of so many records comes, `limit` of all at most.
    ///
    /// # Errors
    /// A sentence where there would be too many.
    pub(super) fn counts(self, records: usize, limit: usize, random: &mut PythonRandom) -> Result<Vec<u32>, String> {
        let mut drawn: Vec<u32> = Vec::new();
        let size = self.size.map(|size| size.min(limit));
        let population = size.unwrap_or(records);
        let last = self.weight.map_or(population as f64, |weight| population as f64 * weight);
        if population > MOST || last >= MOST as f64 {
            return Err(format!("size and weight make {} records of it; {MOST} are the most", last.max(population as f64).floor()));
        }
        if records > 0 {
            drawn.extend((0..size.unwrap_or(0)).map(|_| random.below(records) as u32));
        }
        if self.weight.is_some() && records > 0 {
            let count = (last as usize).min(limit);
            drawn = (0..count)
                .map(|_| match size {
                    Some(_) => drawn[random.below(drawn.len())],
                    None => random.below(records) as u32,
                })
                .collect();
        }
        let mut counts = vec![0; records];
        drawn.into_iter().for_each(|record| counts[record as usize] += 1);
        Ok(counts)
    }
}

/// Python's `random`: the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by a whole number.
pub(super) struct PythonRandom {
    state: [u32; PythonRandom::WORDS],
    at: usize,
}

impl PythonRandom {
    const WORDS: usize = 624;

    /// As after `random.seed(seed)`.
    pub(super) fn new(seed: u64) -> PythonRandom {
        let mut state = [0u32; Self::WORDS];
        state[0] = 19_650_218;
        for i in 1..Self::WORDS {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ before >> 30).wrapping_add(i as u32);
        }
        let key = [seed as u32, (seed >> 32) as u32];
        let key = if key[1] == 0 { &key[..1] } else { &key[..] };
        let mut i = 1;
        let mut next = |state: &mut [u32; Self::WORDS], factor: u32, more: &dyn Fn(usize) -> u32| {
            let before = state[i - 1];
            state[i] = (state[i] ^ (before ^ before >> 30).wrapping_mul(factor)).wrapping_add(more(i));
            i += 1;
            if i == Self::WORDS {
                state[0] = state[Self::WORDS - 1];
                i = 1;
            }
        };
        for j in 0..Self::WORDS {
            next(&mut state, 1_664_525, &|_| key[j % key.len()].wrapping_add((j % key.len()) as u32));
        }
        for _ in 1..Self::WORDS {
            next(&mut state, 1_566_083_941, &|i| (i as u32).wrapping_neg());
        }
        state[0] = 0x8000_0000;
        PythonRandom { state, at: Self::WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.at == Self::WORDS {
            for i in 0..Self::WORDS {
                let y = self.state[i] & 0x8000_0000 | self.state[(i + 1) % Self::WORDS] & 0x7fff_ffff;
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % Self::WORDS] ^ y >> 1 ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// An index below `count`, as `random.choices` draws one: ⌊random() · count⌋.
    fn below(&mut self, count: usize) -> usize {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        let share = (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0;
        ((share * count as f64) as usize).min(count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_python() {
        // python3 -c "import random; random.seed(42); print(random.choices(range(10), k=12), random.choices(range(7), k=5))"
        let mut random = PythonRandom::new(42);
        let drawn: Vec<usize> = (0..12).map(|_| random.below(10)).collect();
        assert_eq!(drawn, [6, 0, 2, 2, 7, 6, 8, 0, 4, 0, 2, 5]);
        assert_eq!((0..5).map(|_| random.below(7)).collect::<Vec<_>>(), [0, 1, 4, 3, 1]);
        for (seed, expected) in [(0, [844, 757, 420, 258, 511]), ((1 << 40) + 5, [504, 268, 925, 530, 817])] {
            let mut random = PythonRandom::new(seed);
            assert_eq!((0..5).map(|_| random.below(1000)).collect::<Vec<_>>(), expected, "seed {seed}");
        }
    }

    #[test]
    fn size_and_weight_are_drawn_one_after_the_other() {
        let counts = |size, weight, limit| Draw { size, weight }.counts(10, limit, &mut PythonRandom::new(42)).expect("few");
        assert_eq!(counts(Some(12), None, 100), [3, 0, 3, 0, 1, 1, 2, 1, 1, 0]);
        assert_eq!(counts(None, Some(1.2), 100), counts(Some(12), None, 100));
        // The twelve above, of which 6 are drawn by the numbers that follow:
        // random.seed(42); a = random.choices(range(10), k=12); random.choices(a, k=6)
        assert_eq!(counts(Some(12), Some(0.5), 100), [2, 0, 2, 0, 0, 0, 1, 0, 1, 0]);
        assert_eq!(counts(Some(12), None, 5).iter().sum::<u32>(), 5);
    }

    proptest! {
        #[test]
        fn as_many_come_as_are_asked_for(records in 0usize..50, size in prop::option::of(1usize..80), weight in prop::option::of(0.01f64..5.0), seed: u64) {
            let counts = Draw { size, weight }.counts(records, usize::MAX, &mut PythonRandom::new(seed)).expect("few");
            prop_assert_eq!(counts.len(), records);
            let population = size.unwrap_or(records);
            let expected = weight.map_or(size.unwrap_or(0), |weight| (population as f64 * weight) as usize);
            prop_assert_eq!(counts.iter().map(|count| *count as usize).sum::<usize>(), if records == 0 { 0 } else { expected });
        }
    }

    #[test]
    fn too_many_are_refused() {
        for draw in [Draw { size: Some(1 << 40), weight: None }, Draw { size: None, weight: Some(1e30) }] {
            assert!(draw.counts(10, usize::MAX, &mut PythonRandom::new(1)).expect_err("too many").contains("are the most"));
        }
    }
}
