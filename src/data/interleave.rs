//! Mixing several datasets record by record (`mix_strategy`), in the order that Hugging Face's `interleave_datasets` gives, with numpy's
//! random numbers where there are probabilities.

use crate::config::MixStrategy;

/// For datasets of these lengths, which record of which comes when: pairs of a dataset and a record. `shares` are the probabilities of the
/// datasets; without, they take turns.
pub fn interleave(lengths: &[usize], strategy: MixStrategy, shares: &[f64], seed: u64) -> Vec<(usize, usize)> {
    let all = 0..lengths.len();
    match strategy {
        MixStrategy::Concat => all.flat_map(|set| (0..lengths[set]).map(move |record| (set, record))).collect(),
        _ if lengths.contains(&0) => Vec::new(),
        MixStrategy::InterleaveUnder if shares.is_empty() => {
            let least = lengths.iter().min().copied().unwrap_or(0);
            (0..least).flat_map(|record| all.clone().map(move |set| (set, record))).collect()
        }
        MixStrategy::InterleaveOver if shares.is_empty() => {
            let most = lengths.iter().max().copied().unwrap_or(0);
            (0..most).flat_map(|round| all.clone().map(move |set| (set, round % lengths[set]))).collect()
        }
        MixStrategy::InterleaveOnce if shares.is_empty() => {
            let most = lengths.iter().max().copied().unwrap_or(0);
            (0..most).flat_map(|record| all.clone().filter(move |set| record < lengths[*set]).map(move |set| (set, record))).collect()
        }
        _ => drawn(lengths, strategy, shares, seed),
    }
}

fn drawn(lengths: &[usize], strategy: MixStrategy, shares: &[f64], seed: u64) -> Vec<(usize, usize)> {
    let mut bounds: Vec<f64> = shares
        .iter()
        .scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        })
        .collect();
    let total = bounds.last().copied().unwrap_or(1.0);
    bounds.iter_mut().for_each(|bound| *bound /= total);
    let (mut random, mut next, mut exhausted) = (Pcg64::new(seed), vec![0; lengths.len()], vec![false; lengths.len()]);
    let mut order = Vec::new();
    loop {
        let over = if strategy == MixStrategy::InterleaveUnder { exhausted.contains(&true) } else { !exhausted.contains(&false) };
        if over {
            return order;
        }
        let number = random.next();
        let set = bounds.partition_point(|bound| *bound <= number).min(lengths.len() - 1);
        if strategy == MixStrategy::InterleaveOnce && exhausted[set] {
            continue;
        }
        order.push((set, next[set]));
        next[set] += 1;
        if next[set] >= lengths[set] {
            exhausted[set] = true;
            next[set] = 0;
        }
    }
}

/// numpy's `default_rng`: O'Neill's PCG XSL RR 128/64, seeded by its `SeedSequence`.
struct Pcg64 {
    state: u128,
    increment: u128,
}

impl Pcg64 {
    const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

    fn new(seed: u64) -> Pcg64 {
        let words = seed_words(seed);
        let double = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let wide = |at: usize| u128::from(double(at)) << 64 | u128::from(double(at + 2));
        let mut random = Pcg64 { state: 0, increment: wide(4) << 1 | 1 };
        random.step();
        random.state = random.state.wrapping_add(wide(0));
        random.step();
        random
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(Self::MULTIPLIER).wrapping_add(self.increment);
    }

    /// A number in [0, 1).
    fn next(&mut self) -> f64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let bits = folded.rotate_right((self.state >> 122) as u32);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `SeedSequence(seed).generate_state(8)`.
fn seed_words(seed: u64) -> [u32; 8] {
    let mut constant = 0x43b0_d7e5u32;
    let mut hash = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(constant);
        value ^ value >> 16
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..4 {
        for to in 0..4 {
            if from != to {
                let mixed = 0xca01_f9ddu32.wrapping_mul(pool[to]).wrapping_sub(0x4973_f715u32.wrapping_mul(hash(pool[from])));
                pool[to] = mixed ^ mixed >> 16;
            }
        }
    }
    let mut constant = 0x8b51_f9ddu32;
    std::array::from_fn(|at| {
        let value = pool[at % 4] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(constant);
        value ^ value >> 16
    })
}
