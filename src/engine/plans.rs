//! Plans that were compiled once and are kept, by what they are for.

use std::collections::BTreeMap;
use std::ops::Index;

use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{Options, Prepared, Program, Runner, compile};

/// A graph, its program, and the program bound to a runner's buffers.
pub struct Plan {
    /// What was compiled.
    pub graph: Graph,
    /// The dispatches.
    pub program: Program,
    /// The dispatches with their pipelines and buffers.
    pub prepared: Prepared,
}

/// The plans of one [`Runner`].
pub struct Plans<K> {
    plans: BTreeMap<K, Plan>,
}

impl<K> Default for Plans<K> {
    fn default() -> Self {
        Plans { plans: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Plans<K> {
    /// The plan of this key: compiled when it is asked for the first time, and bound anew when a pooled buffer was replaced since.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short.
    pub async fn get(&mut self, runner: &mut Runner, key: K, options: Options, build: impl FnOnce() -> Graph) -> Result<&Plan> {
        let current = self.plans.get(&key).is_some_and(|p| runner.is_current(&p.prepared));
        if !current {
            let (graph, program) = match self.plans.remove(&key) {
                Some(plan) => (plan.graph, plan.program),
                None => {
                    let graph = build();
                    let program = compile(&graph, &runner.store.layout, runner.gpu.profile(), options);
                    (graph, program)
                }
            };
            let prepared = runner.prepare(&program, Some(&graph)).await?;
            self.plans.insert(key, Plan { graph, program, prepared });
        }
        Ok(&self.plans[&key])
    }

    /// The plan of this key, if it was compiled.
    pub fn known(&self, key: K) -> Option<&Plan> {
        self.plans.get(&key)
    }
}

impl<K: Ord> Index<K> for Plans<K> {
    type Output = Plan;

    fn index(&self, key: K) -> &Plan {
        &self.plans[&key]
    }
}
