//! How `cutoff_len` is shared out: between prompt and answer of a turn, and between samples of a pack. Both as LLaMA-Factory
//! does it (`data/processor/processor_utils.py`), so that a recipe gives the same tokens in both programs.

use super::sample::Sample;

/// LLaMA-Factory packs within groups of this many samples (its `preprocessing_batch_size`).
const GROUP: usize = 1000;

/// How many tokens of a prompt and of its answer are kept when both may have `budget`: a short answer is kept whole, else a
/// short prompt is, else both are cut in proportion.
pub fn share_length(source: usize, target: usize, budget: usize) -> (usize, usize) {
    let most = if target * 2 < budget {
        budget
    } else if source * 2 < budget {
        budget - source
    } else {
        (budget as f64 * (target as f64 / (source + target) as f64)) as usize
    };
    let target = target.min(most);
    (source.min(budget - target), target)
}

/// Fills sequences of `capacity` tokens: again and again the longest sample that still fits (a greedy knapsack). With `neat`
/// the samples of a pack stay sequences of their own that do not see each other.
pub(super) fn pack(samples: Vec<Sample>, capacity: usize, neat: bool) -> Vec<Sample> {
    let mut packs = Vec::new();
    let mut rest = samples;
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(GROUP));
        pack_group(rest, capacity, neat, &mut packs);
        rest = later;
    }
    packs
}

fn pack_group(mut group: Vec<Sample>, capacity: usize, neat: bool, packs: &mut Vec<Sample>) {
    group.sort_by_key(|sample| sample.ids.len()); // stable: the same packs every time
    while let Some(longest) = group.pop() {
        let mut pack = longest;
        loop {
            let room = capacity.saturating_sub(pack.ids.len());
            let fitting = group.partition_point(|sample| sample.ids.len() <= room);
            if fitting == 0 {
                break;
            }
            let next = group.remove(fitting - 1);
            let offset = pack.ids.len();
            pack.ends.extend(next.ends.iter().map(|end| offset + end));
            pack.ids.extend(next.ids);
            pack.labels.extend(next.labels);
        }
        if !neat {
            pack.ends = vec![pack.ids.len()];
        }
        packs.push(pack);
    }
}
