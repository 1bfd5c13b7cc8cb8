//! The learning rate of a step, by transformers' formulas (`transformers/optimization.py`): pure functions of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::config::{Recipe, SchedulerKwargs, SchedulerType};

/// A schedule with its numbers of steps fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    kind: SchedulerType,
    learning_rate: f64,
    warmup_steps: f64,
    total_steps: f64,
    kwargs: SchedulerKwargs,
}

impl Schedule {
    /// The schedule of a recipe for a run of `total_steps` optimiser steps.
    pub fn of(recipe: &Recipe, total_steps: u64) -> Self {
        // transformers: ceil(ratio · T). As there, a warm-up given in steps may be longer than the run.
        let warmup_steps = recipe.warmup.map_or(0, |interval| interval.steps(total_steps));
        Self::new(recipe.lr_scheduler_type, recipe.learning_rate, warmup_steps, total_steps, recipe.lr_scheduler_kwargs.clone())
    }

    /// A schedule from its numbers.
    pub fn new(kind: SchedulerType, learning_rate: f64, warmup_steps: u64, total_steps: u64, kwargs: SchedulerKwargs) -> Self {
        Schedule { kind, learning_rate, warmup_steps: warmup_steps as f64, total_steps: total_steps as f64, kwargs }
    }

    /// The learning rate that step `step` is taken with; the first step is 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.learning_rate * self.factor(step)
    }

    /// The share of the peak learning rate at `step`, counted from 0.
    pub fn factor(&self, step: u64) -> f64 {
        let (s, w) = (step as f64, self.warmup_steps);
        match self.kind {
            SchedulerType::Constant | SchedulerType::ReduceLrOnPlateau => 1.0,
            SchedulerType::WarmupStableDecay => self.warmup_stable_decay(s),
            _ if s < w => s / w.max(1.0),
            SchedulerType::ConstantWithWarmup => 1.0,
            SchedulerType::Linear => ((self.total_steps - s) / (self.total_steps - w).max(1.0)).max(0.0),
            SchedulerType::Cosine => self.half_waves(self.progress(s)).max(0.0),
            SchedulerType::CosineWithRestarts => {
                let progress = self.progress(s);
                let falls = self.kwargs.num_cycles.unwrap_or(1.0);
                if progress >= 1.0 { 0.0 } else { (0.5 * (1.0 + (PI * ((falls * progress) % 1.0)).cos())).max(0.0) }
            }
            SchedulerType::Polynomial => {
                let end = self.kwargs.lr_end.unwrap_or(1e-7);
                let left = if s > self.total_steps { 0.0 } else { 1.0 - self.progress(s) };
                ((self.learning_rate - end) * left.powf(self.kwargs.power.unwrap_or(1.0)) + end) / self.learning_rate
            }
            SchedulerType::InverseSqrt => {
                let scale = if w > 0.0 { w } else { 10_000.0 };
                1.0 / ((s + scale - w) / scale).sqrt()
            }
            SchedulerType::CosineWithMinLr => {
                let rate = match self.kwargs.min_lr {
                    Some(min_lr) => min_lr / self.learning_rate,
                    None => self.kwargs.min_lr_rate.unwrap_or(0.0),
                };
                (self.half_waves(self.progress(s)) * (1.0 - rate) + rate).max(0.0)
            }
        }
    }

    /// How far the part after the warm-up has come, 0 to 1.
    fn progress(&self, step: f64) -> f64 {
        (step - self.warmup_steps) / (self.total_steps - self.warmup_steps).max(1.0)
    }

    /// ½(1 + cos(2π · num_cycles · progress)): with half a cycle, once from 1 to 0.
    fn half_waves(&self, progress: f64) -> f64 {
        0.5 * (1.0 + (PI * self.kwargs.num_cycles.unwrap_or(0.5) * 2.0 * progress).cos())
    }

    /// `get_wsd_schedule`; without numbers of steps, a third of what follows the warm-up is stable, as in LLaMA-Factory.
    fn warmup_stable_decay(&self, step: f64) -> f64 {
        let w = self.warmup_steps;
        let remaining = (self.total_steps - w).max(0.0);
        let stable = self.kwargs.num_stable_steps.map_or((remaining / 3.0).floor(), |n| n as f64);
        let decay = self.kwargs.num_decay_steps.map_or(remaining - (remaining / 3.0).floor(), |n| n as f64);
        let floor = self.kwargs.min_lr_ratio.unwrap_or(0.0);
        let lifted = |factor: f64| (factor * (1.0 - floor) + floor).max(0.0);
        if step < w {
            let progress = step / w.max(1.0);
            lifted(match self.kwargs.warmup_type.as_deref() {
                Some("cosine") => 0.5 * (1.0 - (PI * progress).cos()),
                Some("1-sqrt") => 1.0 - (1.0 - progress).sqrt(),
                _ => progress,
            })
        } else if step < w + stable {
            1.0
        } else if step < w + stable + decay {
            let progress = (step - w - stable) / decay.max(1.0);
            lifted(match self.kwargs.decay_type.as_deref() {
                Some("linear") => 1.0 - progress,
                Some("1-sqrt") => 1.0 - progress.sqrt(),
                _ => self.half_waves(progress),
            })
        } else {
            floor
        }
    }
}

/// The learning rate of `reduce_lr_on_plateau`, which goes by the evaluations' losses: torch's `ReduceLROnPlateau`, as Trainer steps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The learning rate now.
    pub learning_rate: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

impl Plateau {
    /// The state of a new run; none for other schedules.
    pub fn of(recipe: &Recipe) -> Option<Plateau> {
        let is_meant = recipe.lr_scheduler_type == SchedulerType::ReduceLrOnPlateau;
        is_meant.then_some(Plateau { learning_rate: recipe.learning_rate, best: None, bad: 0, cooling: 0 })
    }

    /// Takes notice of an evaluation. A loss that is not a number is no better than any other.
    pub fn step(&mut self, loss: f64, kwargs: &SchedulerKwargs) {
        let threshold = kwargs.threshold.unwrap_or(1e-4);
        let is_absolute = kwargs.threshold_mode.as_deref() == Some("abs");
        let better = match self.best {
            None => loss < f64::INFINITY,
            Some(best) if is_absolute => loss < best - threshold,
            Some(best) => loss < best * (1.0 - threshold),
        };
        if better {
            self.best = Some(loss);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > kwargs.patience.unwrap_or(10) {
            let reduced = (self.learning_rate * kwargs.factor.unwrap_or(0.1)).max(kwargs.min_lr.unwrap_or(0.0));
            if self.learning_rate - reduced > kwargs.eps.unwrap_or(1e-8) {
                self.learning_rate = reduced;
            }
            self.cooling = kwargs.cooldown.unwrap_or(0);
            self.bad = 0;
        }
    }
}
