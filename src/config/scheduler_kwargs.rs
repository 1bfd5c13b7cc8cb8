//! `lr_scheduler_kwargs`: which schedule takes which entry.

use super::settings::Settings;
use super::types::{SchedulerKwargs, SchedulerType};
use super::value::Value;

/// Reads the entries; what the recipe's schedule does not take is a fault.
pub(super) fn scheduler_kwargs(s: &Settings) -> SchedulerKwargs {
    let mut kwargs = SchedulerKwargs::default();
    let refuse = |reason: String| s.refuse("lr_scheduler_kwargs", &["lr_scheduler_type"], reason);
    let schedule: SchedulerType = s.one_of("lr_scheduler_type");
    for (name, value) in s.map("lr_scheduler_kwargs") {
        if let Err(reason) = read_kwarg(&mut kwargs, schedule, &name, &value) {
            refuse(reason.unwrap_or_else(|| format!("the schedule {} takes no {name}", s.word("lr_scheduler_type"))));
        }
    }
    if schedule == SchedulerType::Polynomial && kwargs.lr_end.unwrap_or(1e-7) >= s.number("learning_rate") {
        refuse(format!("lr_end ({:e}) must be below learning_rate", kwargs.lr_end.unwrap_or(1e-7)));
    }
    if schedule == SchedulerType::CosineWithMinLr && kwargs.min_lr.is_some() == kwargs.min_lr_rate.is_some() {
        refuse("cosine_with_min_lr needs one of min_lr and min_lr_rate, for example {min_lr_rate: 0.1}".into());
    }
    kwargs
}

/// Reads one entry of `lr_scheduler_kwargs`; fails without a reason when the schedule does not take it.
fn read_kwarg(kwargs: &mut SchedulerKwargs, schedule: SchedulerType, name: &str, value: &Value) -> Result<(), Option<String>> {
    use SchedulerType::{Cosine, CosineWithMinLr, CosineWithRestarts, Polynomial, ReduceLrOnPlateau, WarmupStableDecay};
    let number = || match value.as_number() {
        Ok(n) if n >= 0.0 => Ok(Some(n)),
        Ok(n) => Err(Some(format!("{name}: {n} is below 0"))),
        Err(reason) => Err(Some(format!("{name}: {reason}"))),
    };
    let count = || match value.as_integer() {
        Ok(n) if n >= 0 => Ok(Some(n as u64)),
        _ => Err(Some(format!("{name}: {value} is not a number of steps"))),
    };
    let shape = || match value {
        Value::Text(word) if matches!(word.as_str(), "linear" | "cosine" | "1-sqrt") => Ok(Some(word.clone())),
        _ => Err(Some(format!("{name}: {value} is not one of linear, cosine, 1-sqrt"))),
    };
    match (schedule, name) {
        (Polynomial, "power") => kwargs.power = number()?,
        (Polynomial, "lr_end") => kwargs.lr_end = number()?,
        (ReduceLrOnPlateau, "factor") => match number()? {
            Some(n) if n < 1.0 => kwargs.factor = Some(n),
            _ => return Err(Some(format!("{name}: {value} is not below 1"))),
        },
        (ReduceLrOnPlateau, "patience") => kwargs.patience = count()?,
        (ReduceLrOnPlateau, "cooldown") => kwargs.cooldown = count()?,
        (ReduceLrOnPlateau, "threshold") => kwargs.threshold = number()?,
        (ReduceLrOnPlateau, "eps") => kwargs.eps = number()?,
        (ReduceLrOnPlateau, "mode") if value.as_text().ok().as_deref() == Some("min") => {}
        (ReduceLrOnPlateau, "mode") => return Err(Some("mode: only min, as the loss should fall".into())),
        (ReduceLrOnPlateau, "threshold_mode") => match value.as_text().as_deref() {
            Ok(word @ ("rel" | "abs")) => kwargs.threshold_mode = Some(word.to_string()),
            _ => return Err(Some(format!("{name}: {value} is neither rel nor abs"))),
        },
        (CosineWithRestarts, "num_cycles") => kwargs.num_cycles = count()?.map(|n| n as f64),
        (CosineWithMinLr | ReduceLrOnPlateau, "min_lr") => kwargs.min_lr = number()?,
        (CosineWithMinLr, "min_lr_rate") => kwargs.min_lr_rate = number()?,
        (Cosine | CosineWithMinLr | WarmupStableDecay, "num_cycles") => kwargs.num_cycles = number()?,
        (WarmupStableDecay, "num_stable_steps") => kwargs.num_stable_steps = count()?,
        (WarmupStableDecay, "num_decay_steps") => kwargs.num_decay_steps = count()?,
        (WarmupStableDecay, "warmup_type") => kwargs.warmup_type = shape()?,
        (WarmupStableDecay, "decay_type") => kwargs.decay_type = shape()?,
        (WarmupStableDecay, "min_lr_ratio") => kwargs.min_lr_ratio = number()?,
        _ => return Err(None),
    }
    Ok(())
}
