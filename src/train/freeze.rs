//! Which parameters a freeze run trains: LLaMA-Factory's rules (`_setup_freeze_tuning`), which go by names.

use std::collections::BTreeSet;

use crate::config::Freeze;
use crate::error::{Error, Result};
use crate::model::ParamDecl;

/// For each declaration whether it is trained: the modules of `freeze_trainable_modules` in the last or first layers, and every
/// parameter whose name contains one of `freeze_extra_modules`. As in LLaMA-Factory the latter goes by the letters alone: `norm` also
/// takes the norms inside all layers.
///
/// # Errors
/// [`Error::Recipe`] for a module that is not there, and when nothing is left to train.
pub fn freeze_selection(freeze: &Freeze, layers: usize, declarations: &[ParamDecl]) -> Result<Vec<bool>> {
    let inside: BTreeSet<&str> = declarations.iter().filter_map(|d| Some(within_layer(&d.name)?.1)).collect();
    let outside: BTreeSet<&str> =
        declarations.iter().filter(|d| within_layer(&d.name).is_none()).filter_map(|d| d.name.rsplit('.').nth(1)).collect();
    let count = usize::try_from(freeze.trainable_layers.unsigned_abs()).unwrap_or(usize::MAX).min(layers);
    let blocks = count.max(1);
    if freeze.use_llama_pro && (freeze.trainable_layers <= 0 || !layers.is_multiple_of(blocks)) {
        let reason = format!("with use_llama_pro it must be a number of blocks that the model's {layers} layers divide into evenly");
        return Err(Error::recipe("freeze_trainable_layers", reason));
    }
    let stretch = if freeze.trainable_layers > 0 { layers - count..layers } else { 0..count };
    let chosen = |layer: usize| if freeze.use_llama_pro { (layer + 1).is_multiple_of(layers / blocks) } else { stretch.contains(&layer) };
    let unknown = |key: &'static str, module: &str, known: &BTreeSet<&str>| {
        let known: Vec<&str> = known.iter().copied().collect();
        let tied = if module == "lm_head" { "; the output head is tied to the embedding here" } else { "" };
        Error::recipe(key, format!("{module} is not a module of this model{tied}; choose from {}", known.join(", ")))
    };
    let mut all = false;
    for module in &freeze.trainable_modules {
        all |= module == "all";
        if module != "all" && !inside.contains(module.as_str()) {
            return Err(unknown("freeze_trainable_modules", module, &inside));
        }
    }
    if let Some(module) = freeze.extra_modules.iter().find(|m| !outside.contains(m.as_str())) {
        return Err(unknown("freeze_extra_modules", module, &outside));
    }
    let trained = |d: &ParamDecl| {
        let in_layer = within_layer(&d.name).is_some_and(|(layer, module)| {
            // Names are compared from their beginning, as LLaMA-Factory does: `mlp` would also take a module `mlp_2`.
            chosen(layer) && (all || freeze.trainable_modules.iter().any(|m| module.starts_with(m.as_str())))
        });
        in_layer || freeze.extra_modules.iter().any(|m| d.name.contains(m.as_str()))
    };
    let selection: Vec<bool> = declarations.iter().map(trained).collect();
    if !selection.contains(&true) {
        return Err(Error::recipe(
            "freeze_trainable_layers",
            "this leaves nothing to train; give a number of layers, or freeze_extra_modules",
        ));
    }
    Ok(selection)
}

/// The number of the layer that a parameter is in, and the module there.
fn within_layer(name: &str) -> Option<(usize, &str)> {
    let mut parts = name.split('.');
    let layer = parts.by_ref().find_map(|part| part.parse().ok())?;
    parts.next().map(|module| (layer, module))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, ParamKind};

    fn declarations() -> Vec<ParamDecl> {
        let mut names = vec!["model.embed_tokens.weight".to_string()];
        for layer in 0..12 {
            for module in ["self_attn.q_proj", "mlp.up_proj", "input_layernorm"] {
                names.push(format!("model.layers.{layer}.{module}.weight"));
            }
        }
        names.push("model.norm.weight".into());
        let decl = |name: String| ParamDecl { name, rows: 1, cols: 1, kind: ParamKind::Linear, layer: None, layout: Layout::AsStored };
        names.into_iter().map(decl).collect()
    }

    fn select(layers: i64, modules: &[&str], extra: &[&str]) -> Result<Vec<String>> {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        choose(&Freeze { trainable_layers: layers, trainable_modules: list(modules), extra_modules: list(extra), use_llama_pro: false })
    }

    fn choose(freeze: &Freeze) -> Result<Vec<String>> {
        let all = declarations();
        let chosen = freeze_selection(freeze, 12, &all)?;
        Ok(all.into_iter().zip(chosen).filter(|(_, c)| *c).map(|(d, _)| d.name.replace("model.", "").replace(".weight", "")).collect())
    }

    #[test]
    fn takes_the_last_or_the_first_layers() {
        let last = select(1, &["all"], &[]).expect("it is valid");
        assert_eq!(last, ["layers.11.self_attn.q_proj", "layers.11.mlp.up_proj", "layers.11.input_layernorm"]);
        assert_eq!(select(-2, &["mlp"], &[]).expect("it is valid"), ["layers.0.mlp.up_proj", "layers.1.mlp.up_proj"]);
        assert_eq!(select(99, &["all"], &[]).expect("it is valid").len(), 36, "more layers than there are: all");
    }

    #[test]
    fn takes_the_layers_that_an_expansion_added() {
        let pro = |layers: i64| {
            choose(&Freeze {
                trainable_layers: layers,
                trainable_modules: vec!["mlp".into()],
                extra_modules: Vec::new(),
                use_llama_pro: true,
            })
        };
        assert_eq!(pro(3).expect("three blocks of four"), ["layers.3.mlp.up_proj", "layers.7.mlp.up_proj", "layers.11.mlp.up_proj"]);
        for uneven in [5, 0, -3] {
            assert!(pro(uneven).expect_err("no even blocks").to_string().contains("divide into evenly"), "{uneven}");
        }
    }

    #[test]
    fn takes_extra_modules_by_their_letters() {
        assert_eq!(select(0, &["all"], &["embed_tokens"]).expect("it is valid"), ["embed_tokens"]);
        assert_eq!(select(0, &["all"], &["norm"]).expect("it is valid").len(), 13, "the norms inside the layers as well");
    }

    #[test]
    fn says_what_there_is() {
        let error = select(2, &["q_proj"], &[]).expect_err("no module of a layer").to_string();
        assert!(error.contains("freeze_trainable_modules") && error.contains("input_layernorm, mlp, self_attn"), "{error}");
        let error = select(2, &["all"], &["lm_head"]).expect_err("it is tied").to_string();
        assert!(error.contains("tied") && error.contains("embed_tokens, norm"), "{error}");
        assert!(select(0, &["all"], &[]).expect_err("nothing").to_string().contains("nothing to train"));
    }
}
