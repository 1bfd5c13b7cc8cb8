//! DoRA (Liu et al., "DoRA", 2024): an adapted weight's rows are given trained lengths. The lengths before that, ‖W + s·B·A‖, only change
//! with A and B, so they are a small program of their own that runs after a load and after each update, not in every pass.

use super::sums::column_sum;
use crate::graph::{Change, Emit, LowRank, Magnitude, Param, ParamId, ParamLayout, ValueId};
use crate::kernels::{Bind, Dispatch, Owner, Phase, Resource, Tuning, dora_backward, dora_forward, dora_norm, workgroups};
use crate::plan::Program;

/// y = z · magnitude / length (+ bias).
pub(super) fn forward(e: &mut Emit<'_>, m: Magnitude, bias: Option<ParamId>, z: ValueId, y: ValueId) {
    let shape = e.shape(z);
    let params = dora_forward::Params { count: (shape.floats() / 4) as u32, stride: shape.stride4() };
    let constants = dora_forward::Constants { BIAS: bias.is_some(), ..Default::default() };
    let (magnitude, inverse) = (e.piece(m.magnitude).weight, e.piece(m.inverse_norm).weight);
    let bias = bias.map_or(magnitude, |b| e.piece(b).weight);
    let bindings = dora_forward::Bindings { z: e.bind(z), magnitude, inverse, bias, y: e.bind(y) };
    e.run(dora_forward::dispatch(params, constants, bindings, workgroups(params.count.div_ceil(constants.WORKGROUP) as usize)));
}

/// dz from dy, and the gradient of the magnitudes.
pub(super) fn backward(e: &mut Emit<'_>, m: Magnitude, dy: ValueId, z: ValueId) -> ValueId {
    let shape = e.shape(z);
    let params = dora_backward::Params { count: (shape.floats() / 4) as u32, stride: shape.stride4() };
    let constants = dora_backward::Constants::default();
    let (dz, dmagnitude) = (e.matrix(shape.rows, shape.cols), e.matrix(shape.rows, shape.cols));
    let bindings = dora_backward::Bindings {
        dy: e.bind(dy),
        z: e.bind(z),
        magnitude: e.piece(m.magnitude).weight,
        inverse: e.piece(m.inverse_norm).weight,
        dz: e.bind(dz),
        dmagnitude: e.bind(dmagnitude),
    };
    e.run(dora_backward::dispatch(params, constants, bindings, workgroups(params.count.div_ceil(constants.WORKGROUP) as usize)));
    if let Some(gradient) = e.piece(m.magnitude).gradient {
        let mode = e.gradient_mode(m.magnitude);
        column_sum(e, dmagnitude, gradient, mode);
    }
    dz
}

/// The program that computes the lengths of all rows of weights with magnitudes; empty where there are none.
pub fn norm_program(params: &[Param], layout: &ParamLayout, tuning: &Tuning) -> Program {
    let mut dispatches = Vec::new();
    for (index, param) in params.iter().enumerate() {
        let Some(Change::LowRank(LowRank { a, b, scale, magnitude: Some(m), .. })) = &param.adapted.matrix else { continue };
        let whole = |id: ParamId| {
            let place = &layout.pieces(id)[0];
            Bind { resource: Resource::Weights(place.arena), offset: place.offset, size: place.bytes }
        };
        let (a_shape, b_shape) = (params[a.0 as usize].shape, params[b.0 as usize].shape);
        for piece in layout.pieces(ParamId(index as u32)) {
            let first = piece.rows.start as u64;
            let kernel_params = dora_norm::Params {
                rows: piece.rows.len() as u32,
                k4: param.shape.stride4(),
                w_stride: param.weight_type.row_stride(param.shape.cols),
                a_stride: a_shape.stride4(),
                b_stride: b_shape.stride4(),
                rank: a_shape.rows as u32,
                scale: *scale,
            };
            let constants = dora_norm::Constants { WORKGROUP: tuning.long_threads };
            let bindings = dora_norm::Bindings {
                w: Bind { resource: Resource::Weights(piece.arena), offset: piece.offset, size: piece.bytes },
                a: whole(*a),
                b: whole(*b).after(first * u64::from(b_shape.stride4()) * 16),
                inverse: whole(m.inverse_norm).after(first * 4),
            };
            let groups = workgroups(piece.rows.len().div_ceil(constants.WORKGROUP as usize));
            let dispatch = dora_norm::dispatch(param.weight_type.into(), kernel_params, constants, bindings, groups);
            dispatches.push(dispatch.flops(2 * (param.shape.cols * piece.rows.len() * (a_shape.rows + 1)) as u64));
        }
    }
    let owner = Owner { op: "dora_norm", layer: None, phase: Phase::Update };
    let dispatches = dispatches.into_iter().map(|d| Dispatch { owner, ..d }).collect();
    Program::over_parameters(dispatches)
}
