//! From gradients to new weights: the global norm, clipping and the optimiser, as a program of its own that runs once an optimiser step.

mod adafactor;
mod adamw;
mod adamw8;
mod alike;
mod lion;
mod muon;
mod norm;
mod sgd;

use crate::graph::{Param, ParamLayout, STATE_BLOCK, State, StateEncoding};
use crate::kernels::{Bind, Dispatch, Owner, Phase, Resource, STATS_BYTES, Tuning};
use crate::plan::Program;

pub use adafactor::Adafactor;
pub use adamw::AdamW;
pub use lion::Lion;
pub use muon::Muon;
pub use sgd::Sgd;

/// The rule that turns gradients into new weights, with what does not change during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// AdamW with moments in f32.
    AdamW(AdamW),
    /// AdamW with moments in 8 bits, where a parameter is large enough ([`Optimizer::states`]).
    AdamW8bit(AdamW),
    /// The same as torchao has it: moments of embeddings in 8 bits as well.
    AdamWTorch8bit(AdamW),
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Lion.
    Lion(Lion),
    /// Adafactor.
    Adafactor(Adafactor),
    /// Muon for the matrices of the layers, AdamW for the rest.
    Muon(Muon),
}

/// What a parameter is to an optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A row of numbers: a norm, a bias.
    Vector,
    /// A table whose rows are looked up.
    Embedding,
    /// The output head.
    Head,
    /// Any other matrix.
    Matrix,
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::AdamW(AdamW::default())
    }
}

/// Parameters with fewer numbers keep f32 moments, as in bitsandbytes (`min_8bit_size`).
const LEAST_8BIT: usize = 4096;

const FIRST_MOMENT: State = State { name: "exp_avg", encoding: StateEncoding::F32 };
const MOMENTS: &[State] = &[FIRST_MOMENT, State { name: "exp_avg_sq", encoding: StateEncoding::F32 }];
const MOMENTS_8BIT: &[State] = &[
    State { name: "exp_avg", encoding: StateEncoding::Codes },
    State { name: "exp_avg_absmax", encoding: StateEncoding::Scales },
    State { name: "exp_avg_sq", encoding: StateEncoding::Codes },
    State { name: "exp_avg_sq_absmax", encoding: StateEncoding::Scales },
];
const MOMENTUM: &[State] = &[FIRST_MOMENT];

impl Optimizer {
    /// What it keeps for a parameter of so many numbers. Moments of embeddings stay in f32, as transformers has bitsandbytes keep them:
    /// most of their rows get no gradient in a step. torchao makes no such difference, and leaves parameters that are not whole blocks in f32.
    pub fn states(&self, numbers: usize, role: Role) -> &'static [State] {
        match self {
            Optimizer::AdamW8bit(_) if numbers >= LEAST_8BIT && role != Role::Embedding => MOMENTS_8BIT,
            Optimizer::AdamWTorch8bit(_) if numbers >= LEAST_8BIT && numbers.is_multiple_of(STATE_BLOCK as usize) => MOMENTS_8BIT,
            Optimizer::Adafactor(_) if role == Role::Vector => adafactor::WHOLE,
            Optimizer::Adafactor(_) => adafactor::FACTORS,
            Optimizer::Muon(_) if role == Role::Matrix => muon::BUFFER,
            Optimizer::AdamW(_) | Optimizer::AdamW8bit(_) | Optimizer::AdamWTorch8bit(_) | Optimizer::Muon(_) => MOMENTS,
            Optimizer::Lion(_) => MOMENTUM,
            Optimizer::Sgd(_) => &[],
        }
    }
}

/// What the kernels of an optimiser bind for one arena.
#[derive(Clone)]
struct Trained {
    arena: u32,
    /// Bytes of its weights, a multiple of 16.
    bytes: u64,
    /// Whether weight decay applies.
    decays: bool,
    lr_scale: f32,
    states: &'static [State],
    /// Bytes of each state.
    state_bytes: Vec<u64>,
}

impl Trained {
    fn of(layout: &ParamLayout) -> Vec<Trained> {
        let arenas = layout.arenas.iter().enumerate().filter(|(_, arena)| arena.group.trainable);
        arenas
            .map(|(index, arena)| Trained {
                arena: index as u32,
                bytes: arena.bytes / 16 * 16,
                decays: arena.group.decays,
                lr_scale: arena.group.lr_scale,
                states: arena.group.states,
                state_bytes: arena.states.clone(),
            })
            .collect()
    }

    /// vec4 of its weights.
    fn vectors(&self) -> usize {
        self.bytes as usize / 16
    }

    fn weight_decay(&self, of_run: f64) -> f32 {
        if self.decays { of_run as f32 } else { 0.0 }
    }

    fn gradient(&self) -> Bind {
        Bind { resource: Resource::Gradients(self.arena), offset: 0, size: self.bytes }
    }

    fn weights(&self) -> Bind {
        Bind { resource: Resource::Weights(self.arena), offset: 0, size: self.bytes }
    }

    fn state(&self, index: u8) -> Bind {
        Bind { resource: Resource::State(self.arena, index), offset: 0, size: self.state_bytes[index as usize] }
    }
}

fn stats() -> Bind {
    Bind { resource: Resource::Stats, offset: 0, size: STATS_BYTES }
}

/// The program that turns the gradients of an accumulation group into new weights. It needs no activations.
pub fn update_program(params: &[Param], layout: &ParamLayout, tuning: &Tuning, optimizer: &Optimizer) -> Program {
    let trained = Trained::of(layout);
    let mut dispatches = norm::dispatches(&trained, tuning);
    let mut tables = Vec::new();
    for arena in &trained {
        match optimizer {
            Optimizer::AdamW8bit(hyper) | Optimizer::AdamWTorch8bit(hyper) if arena.states == MOMENTS_8BIT => {
                tables = adamw8::tables();
                dispatches.push(adamw8::dispatch(arena, hyper));
            }
            Optimizer::AdamW(hyper) | Optimizer::AdamW8bit(hyper) | Optimizer::AdamWTorch8bit(hyper) => {
                dispatches.push(adamw::dispatch(arena, hyper));
            }
            Optimizer::Sgd(hyper) => dispatches.push(sgd::dispatch(arena, hyper)),
            Optimizer::Lion(hyper) => dispatches.push(lion::dispatch(arena, hyper)),
            Optimizer::Adafactor(hyper) => {
                let alike = alike::in_arena(arena.arena, params, layout);
                dispatches.extend(alike.iter().flat_map(|matrices| adafactor::dispatches(arena, matrices, hyper)));
            }
            Optimizer::Muon(hyper) if arena.states == muon::BUFFER => {
                let alike = alike::in_arena(arena.arena, params, layout);
                dispatches.extend(alike.iter().flat_map(|matrices| muon::dispatches(arena, matrices, hyper, tuning)));
            }
            Optimizer::Muon(hyper) => dispatches.push(adamw::dispatch(&Trained { decays: true, ..arena.clone() }, &hyper.adamw)),
        }
    }
    let owner = Owner { op: "optimizer", layer: None, phase: Phase::Update };
    let dispatches: Vec<Dispatch> = dispatches.into_iter().map(|d| Dispatch { owner, ..d }).collect();
    Program { tables, ..Program::over_parameters(dispatches) }
}
