//! The programs of one runner, by the shape of the batch that they are for: a few are kept, the least recently used one is dropped.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::prepared::Prepared;
use super::program::Program;
use super::runner::Runner;
use crate::error::Result;

/// Programs that are kept. Batches are filled up to sizes of which an octave has eight, so these are two octaves of training and as many of
/// evaluation.
const KEPT: usize = 32;

/// Programs that were compiled, by what they are for.
pub struct ProgramCache<K> {
    entries: BTreeMap<K, Entry>,
    /// Counts the uses.
    clock: u64,
}

struct Entry {
    prepared: Prepared,
    used: u64,
}

impl<K> Default for ProgramCache<K> {
    fn default() -> Self {
        ProgramCache { entries: BTreeMap::new(), clock: 0 }
    }
}

impl<K: Ord + Copy> ProgramCache<K> {
    /// Adds a program that was compiled elsewhere.
    pub fn insert(&mut self, key: K, program: Rc<Program>) {
        self.clock += 1;
        self.entries.insert(key, Entry { prepared: Prepared::new(program), used: self.clock });
        while self.entries.len() > KEPT {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            oldest.and_then(|key| self.entries.remove(&key));
        }
    }

    /// The program of this key, bound to the runner's buffers; compiled where it is not kept.
    ///
    /// # Errors
    /// As [`Prepared::bind`].
    pub async fn get(&mut self, runner: &mut Runner, key: K, compile: impl FnOnce() -> Program) -> Result<&Prepared> {
        if !self.entries.contains_key(&key) {
            self.insert(key, Rc::new(compile()));
        }
        self.clock += 1;
        let used = self.clock;
        let generation = runner.generation();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.used = used;
            entry.prepared.bind(runner).await?;
        }
        if runner.generation() != generation {
            self.entries.values_mut().for_each(|entry| entry.prepared.release_stale(runner));
        }
        self.entries.get(&key).map(|entry| &entry.prepared).ok_or_else(|| crate::Error::gpu("a program that was just compiled is gone"))
    }

    /// How many programs are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_programs_are_kept() {
        let mut cache = ProgramCache::default();
        for tokens in 0..3 * KEPT {
            cache.insert(tokens, Rc::new(Program::default()));
        }
        assert_eq!(cache.len(), KEPT);
        let kept: Vec<usize> = cache.entries.keys().copied().collect();
        assert_eq!(kept, (2 * KEPT..3 * KEPT).collect::<Vec<_>>(), "the newest");
    }
}
