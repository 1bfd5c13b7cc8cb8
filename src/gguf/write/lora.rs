//! A LoRA adapter as a GGUF adapter, which llama.cpp puts on a model without merging.

use super::header::Head;
use super::{Order, interleave};
use crate::adapter::{Adapter, AdapterRole, TargetKind};
use crate::checkpoint::{ModelSource, ParamSource};
use crate::error::{Error, Result};
use crate::gguf::encoding::Encoding;
use crate::gguf::view::gguf_name;
use crate::platform::OutputDirectory;

/// Writes an adapter of `base` as the file `name` in `out`, in f32. llama.cpp scales every product by alpha over the rank of its factors; where
/// the adapter scales differently (rsLoRA, patterns), B is multiplied by the quotient.
///
/// # Errors
/// [`Error::Config`] for what llama.cpp's adapters cannot express: DoRA, modules that were trained whole, adapted embeddings and heads.
pub async fn write_adapter(adapter: &Adapter, base: &dyn ModelSource, out: &dyn OutputDirectory, name: &str) -> Result<()> {
    let config = base.config();
    let declaration = config.architecture.declaration();
    let resolved = &adapter.resolved;
    let cannot = |field: &str, reason: &str| {
        let reason = format!("{reason}; merge it into the base (--adapter without --as-adapter writes the whole model)");
        Err(Error::config(adapter.label(), field, reason))
    };
    if resolved.use_dora {
        return cannot("use_dora", "is a DoRA adapter, which llama.cpp does not have");
    }
    if !resolved.saved.is_empty() {
        return cannot("modules_to_save", "replaces whole modules, which llama.cpp's adapters cannot do");
    }
    let first = resolved.targets.first();
    let Some(alpha) = first.map(|target| target.scale * target.rank as f32) else {
        return cannot("target_modules", "changes nothing");
    };
    let mut head = Head::new(declaration.gguf.architecture, "adapter");
    head.text("general.name", name.strip_suffix(".gguf").unwrap_or(name));
    head.text("adapter.type", "lora");
    head.f32("adapter.lora.alpha", alpha);
    let mut plan = Vec::new();
    for (at, target) in resolved.targets.iter().enumerate() {
        if target.kind != TargetKind::Linear {
            return cannot("target_modules", &format!("adapts {}, which llama.cpp's adapters cannot do", target.module));
        }
        let param = &base.params()[target.param];
        let named = gguf_name(declaration.gguf, declaration.tensors.layers, param);
        let (tensor, module) = named.ok_or_else(|| Error::tensor(adapter.label(), &param.name, "has no name in GGUF files"))?;
        let find = |role| adapter.params.iter().position(|param| param.role == role);
        let (Some(a), Some(b)) = (find(AdapterRole::A(at)), find(AdapterRole::B(at))) else {
            return cannot("target_modules", "lacks factors");
        };
        head.tensor(&format!("{tensor}.lora_a"), &[target.rank, param.cols], Encoding::F32);
        head.tensor(&format!("{tensor}.lora_b"), &[param.rows, target.rank], Encoding::F32);
        let factor = target.scale * target.rank as f32 / alpha;
        plan.push((a, b, factor, Order::of(declaration, config, param, module)));
    }
    let mut file = head.begin(out, name).await?;
    for (a, b, factor, order) in plan {
        for (index, is_b) in [(a, false), (b, true)] {
            let decl = &adapter.params[index].decl;
            let mut numbers = adapter.read_rows(index, 0..decl.rows).await?;
            if is_b {
                numbers.iter_mut().for_each(|number| *number *= factor);
                if let Order::Interleaved { head } = order {
                    interleave(&mut numbers, head, decl.cols);
                }
            }
            file.numbers(&decl.name, Encoding::F32, &numbers).await?;
        }
    }
    file.finish().await
}
