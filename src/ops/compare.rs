//! The comparison of answers, between the forward and the backward of a head.

use crate::graph::{Emit, Preference, PreferenceLoss};
use crate::kernels::{Input, preference};

/// Turns the losses of all targets into what each counts in a preference loss, and adds that loss to the statistics.
pub(super) fn compare(e: &mut Emit<'_>, loss: Preference) {
    let tokens = e.tokens();
    let (kind, first, second) = match loss.loss {
        PreferenceLoss::Sigmoid { label_smoothing } => (0, label_smoothing, 0.0),
        PreferenceLoss::Hinge => (1, 0.0, 0.0),
        PreferenceLoss::Ipo => (2, 0.0, 0.0),
        PreferenceLoss::Orpo => (3, 0.0, 0.0),
        PreferenceLoss::Simpo { gamma } => (4, gamma, 0.0),
        // SimPO's of answers of one target, whose value is in the place of its log-probability.
        PreferenceLoss::Reward => (4, 0.0, 0.0),
        PreferenceLoss::Kto { chosen_weight, rejected_weight } => (5, chosen_weight, rejected_weight),
    };
    let answers = e.vector(tokens);
    let params = preference::Params { capacity: tokens as u32, beta: loss.beta, first, second, ftx: loss.ftx };
    let constants = preference::Constants { WORKGROUP: e.tuning.long_threads, LOSS: kind, GRADIENT: e.training() };
    let bindings = preference::Bindings {
        offsets: e.input(Input::AnswerOffsets),
        references: e.input(Input::AnswerReferences),
        roles: e.input(Input::AnswerRoles),
        losses: e.losses(0, tokens),
        answers: e.bind(answers),
        stats: e.stats(),
    };
    e.run(preference::dispatch(params, constants, bindings, [1, 1, 1]));
}
