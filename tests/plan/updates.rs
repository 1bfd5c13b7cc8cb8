//! The updates of optimisers that treat each matrix by itself, as GPUs get them.

use std::rc::Rc;

use rootstock::gpu::Profile;
use rootstock::graph::{ParamLayout, WeightType};
use rootstock::model::{ModelConfig, ParamKind, forward, params};
use rootstock::optim::{Adafactor, AdamW, Muon, Optimizer, Role, update_program};
use rootstock::plan::Program;

use super::products::{GPUS, SMOLLM2_135M};

fn update(optimizer: &Optimizer, profile: &Profile) -> Program {
    let config = ModelConfig::parse("config.json", SMOLLM2_135M.as_bytes()).expect("a configuration");
    let declared = params(&config);
    let trained = forward::graph_params(&declared, true, |_| WeightType::F32);
    let role = |index: usize| match declared[index].kind {
        ParamKind::Linear => Role::Matrix,
        ParamKind::Embedding => Role::Embedding,
        _ => Role::Vector,
    };
    let layout = ParamLayout::with_states(&trained, profile, |index| optimizer.states(declared[index].elements() as usize, role(index)));
    update_program(&Rc::new(trained), &layout, &profile.tuning, optimizer)
}

/// A matrix of SmolLM2-135M has 9 to 216 tiles, its columns 18 workgroups: those of all layers make enough, in few dispatches.
#[test]
fn matrices_of_one_shape_fill_a_gpu_together() {
    let adafactor = Optimizer::Adafactor(Adafactor { weight_decay: 0.0 });
    let muon = Optimizer::Muon(Muon::new(AdamW::default()));
    for family in GPUS {
        let profile = Profile { max_binding: 1 << 30, ..Profile::lavapipe().as_if(family, None) };
        for (optimizer, dispatches) in [(&adafactor, 60), (&muon, 492)] {
            let program = update(optimizer, &profile);
            assert_eq!(program.dispatches.len(), dispatches, "{family:?}, {optimizer:?}");
            for d in program.dispatches.iter().filter(|d| d.shader.name.starts_with("adafactor") || d.shader.name.starts_with("muon")) {
                let workgroups = d.workgroups.iter().product::<u32>();
                // A number of a whole matrix has one workgroup: 30 layers of a weight are 30. The last stage of columns adds up a few blocks.
                let least = match d.shader.name {
                    "adafactor_sum" => 1,
                    "adafactor_vector" => 61,
                    "adafactor_column_factors" => 18,
                    _ => 200,
                };
                assert!(workgroups >= least, "{family:?}: {} has {:?}", d.shader.name, d.workgroups);
            }
        }
    }
}

/// With bindings of 128 MiB, as browsers grant them at least, the layers lie in several buffers, and each has its own dispatches.
#[test]
fn layers_in_several_buffers_are_updated_all_the_same() {
    let optimizer = Optimizer::Adafactor(Adafactor { weight_decay: 0.0 });
    let (whole, cut) = [1 << 30, 128 << 20].map(|max_binding| update(&optimizer, &Profile { max_binding, ..Profile::lavapipe() })).into();
    let updated = |program: &Program| -> u32 {
        let steps = program.dispatches.iter().filter(|d| d.shader.name == "adafactor" || d.shader.name == "adafactor_vector");
        steps.map(|d| d.workgroups[2]).sum()
    };
    assert_eq!(updated(&whole), 272, "seven matrices a layer, the embedding, 61 norms");
    assert_eq!(updated(&cut), 272);
    assert!(cut.dispatches.len() > whole.dispatches.len());
}
