//! The parameters of a model on the GPU, the base's and then an adapter's, and which of them are trained.

use std::collections::HashMap;
use std::rc::Rc;

use crate::adapter::targets::{AdapterParam, AdapterRole, ResolvedAdapter, TargetKind};
use crate::error::{Error, Result};
use crate::gpu::{Profile, human_bytes};
use crate::graph::{Change, LowRank, Magnitude, Param, ParamId, Shape, WeightType};
use crate::model::{ParamDecl, ParamKind, forward};

/// Which parameters are trained.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Nothing is trained: evaluation and generation, perhaps with an adapter.
    Inference(Option<Rc<ResolvedAdapter>>),
    /// All parameters are trained.
    Full,
    /// Some of the base's parameters are trained: those whose place holds true.
    Freeze(Rc<Vec<bool>>),
    /// An adapter is trained, the base stays as it is stored.
    Adapter {
        /// What the adapter changes.
        resolved: Rc<ResolvedAdapter>,
        /// The learning rate of B over that of A (LoRA+, Hayou et al., 2024); 1 without.
        loraplus_lr_ratio: f32,
    },
}

impl Method {
    /// Whether anything is trained.
    pub fn trains(&self) -> bool {
        !matches!(self, Method::Inference(_))
    }

    /// The adapter, if there is one.
    pub fn adapter(&self) -> Option<&Rc<ResolvedAdapter>> {
        match self {
            Method::Inference(resolved) => resolved.as_ref(),
            Method::Adapter { resolved, .. } => Some(resolved),
            Method::Full | Method::Freeze(_) => None,
        }
    }

    fn trains_base(&self, index: usize) -> bool {
        match self {
            Method::Full => true,
            Method::Freeze(trained) => trained.get(index).copied().unwrap_or(false),
            Method::Inference(_) | Method::Adapter { .. } => false,
        }
    }

    /// Which parameters of the base are trained. A reward model's value head always is, and its output head never: nothing asks for it.
    fn trained_of_base(&self, base: &[ParamDecl]) -> Vec<bool> {
        let gives_values = base.iter().any(ParamDecl::in_value_head);
        let trained = |(index, decl): (usize, &ParamDecl)| match decl.kind {
            _ if decl.in_value_head() => self.trains(),
            ParamKind::Head if gives_values => false,
            _ => self.trains_base(index),
        };
        base.iter().enumerate().map(trained).collect()
    }
}

/// The base's declarations followed by the adapter's, and the same as graph parameters; these may have a few more at their end, which
/// are computed and never stored. `frozen` says how a parameter of the base that is not trained is kept.
pub fn parameters(base: &[ParamDecl], method: &Method, frozen: impl Fn(&ParamDecl) -> WeightType) -> (Vec<ParamDecl>, Vec<Param>) {
    let mut params = Vec::with_capacity(base.len());
    for (decl, trained) in base.iter().zip(method.trained_of_base(base)) {
        params.push(forward::graph_param(decl, trained, &frozen));
    }
    let mut declarations = base.to_vec();
    if let Some(resolved) = method.adapter() {
        let b_rate = if let Method::Adapter { loraplus_lr_ratio, .. } = method { *loraplus_lr_ratio } else { 1.0 };
        adapt(resolved, base, method.trains(), b_rate, &mut declarations, &mut params);
    }
    (declarations, params)
}

/// Adds an adapter's parameters and says on the base's what becomes of them.
fn adapt(resolved: &ResolvedAdapter, base: &[ParamDecl], trained: bool, b_rate: f32, decls: &mut Vec<ParamDecl>, params: &mut Vec<Param>) {
    let mut ids: HashMap<AdapterRole, ParamId> = HashMap::new();
    let gives_values = base.iter().any(ParamDecl::in_value_head);
    for AdapterParam { decl, role } in resolved.declarations(base) {
        ids.insert(role, ParamId(params.len() as u32));
        // Nothing asks for the output head of a reward model: what is on it stays as it is.
        let on_head = match role {
            AdapterRole::A(i) | AdapterRole::B(i) | AdapterRole::Magnitude(i) => resolved.targets[i].kind == TargetKind::Head,
            AdapterRole::Saved(i) => decl.kind == ParamKind::Head || resolved.saved[i].is_head(),
        };
        let mut param = forward::graph_param(&decl, trained && !(gives_values && on_head), |_| WeightType::F32);
        // As PEFT's LoRA+ does: B and all vectors. The embedding's adapter learns at the recipe's rate, not at a rate of its own.
        let is_b = matches!(role, AdapterRole::B(i) if resolved.targets[i].kind != TargetKind::Embedding);
        if is_b || decl.rows == 1 && !matches!(role, AdapterRole::A(_) | AdapterRole::B(_)) {
            param.lr_scale = b_rate;
        }
        params.push(param);
        decls.push(decl);
    }
    for (index, target) in resolved.targets.iter().enumerate() {
        let magnitude = ids.get(&AdapterRole::Magnitude(index)).map(|&magnitude| {
            let inverse_norm = ParamId(params.len() as u32);
            params.push(inverse_norms(&base[target.param]));
            Magnitude { magnitude, inverse_norm }
        });
        let (a, b) = (ids[&AdapterRole::A(index)], ids[&AdapterRole::B(index)]);
        let dropout = if target.kind == TargetKind::Embedding { 0.0 } else { resolved.dropout };
        let change = Some(Change::LowRank(LowRank { a, b, scale: target.scale, magnitude, dropout }));
        let adapted = &mut params[target.param].adapted;
        match target.kind {
            TargetKind::Embedding => adapted.table = change,
            TargetKind::Linear | TargetKind::Head => adapted.matrix = change,
        }
    }
    for (index, saved) in resolved.saved.iter().enumerate() {
        let change = Some(Change::Replaced(ids[&AdapterRole::Saved(index)]));
        let adapted = &mut params[saved.param].adapted;
        match base[saved.param].kind {
            ParamKind::Embedding | ParamKind::PositionEmbedding if !saved.is_head() => adapted.table = change,
            _ => adapted.matrix = change,
        }
    }
}

/// Refuses an adapter whose A or B is larger than one binding of the GPU: the products take each of them as a whole.
///
/// # Errors
/// [`Error::Recipe`] with the tensor's name.
pub fn check_adapter_fits(params: &[Param], profile: &Profile) -> Result<()> {
    let most = profile.max_binding.min(profile.max_buffer) / 256 * 256;
    let large = params.iter().find(|p| p.name.contains(".lora_") && p.shape.floats() as u64 * 4 > most);
    let Some(p) = large else { return Ok(()) };
    let (have, most) = (human_bytes(p.shape.floats() as u64 * 4), human_bytes(most));
    Err(Error::recipe("lora_rank", format!("{} takes {have}, and this GPU binds at most {most} at once; take a lower rank", p.name)))
}

/// Room for one over the length of each row of an adapted weight. It does not decay, so that it lies in another buffer than what it is
/// computed from.
fn inverse_norms(weight: &ParamDecl) -> Param {
    Param {
        name: format!("{}, inverse row norms", weight.name),
        shape: Shape { rows: 1, cols: weight.rows },
        trainable: false,
        weight_type: WeightType::F32,
        decays: false,
        lr_scale: 1.0,
        adapted: Default::default(),
    }
}
