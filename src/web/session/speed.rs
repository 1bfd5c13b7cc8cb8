//! Measures what the device reaches, as `rootstock bench` does.

use super::super::messages::{Speed, SpeedAnswer, SpeedKernel, SpeedStep, Unit};
use super::{Call, Session};
use crate::bench::{self, Measured, Report, Shape, Tuned};
use crate::error::{Error, Result};

/// Kernels that are listed; the text has more.
const LISTED: usize = 12;
/// Lines of kernels in the text, for each model.
const LINES: usize = 40;

impl Session {
    /// Measures peaks, training steps and answers of a model's shape.
    pub(super) async fn measure_all(&self, model: &str, call: &Call) -> Result<Speed> {
        let shapes = [Shape::EMBEDDED, Shape::SMOLLM2_135M];
        let Some(shape) = shapes.iter().find(|shape| shape.name.eq_ignore_ascii_case(model)) else {
            return Err(Error::recipe("model", format!("there are the shapes {}", shapes.map(|shape| shape.name).join(" and "))));
        };
        if !self.running.borrow().is_empty() {
            return Err(Error::recipe("model", "a run is in progress, which would be measured too; measure when it has ended"));
        }
        let gpu = self.gpu().await?;
        let (mut done, total) = (0, Measured::ALL.len() as u64 + 1);
        let mut progress = |what: &str| {
            call.progress(&format!("Measuring {what}"), done, Some(total), Unit::Steps);
            done += 1;
        };
        let shapes = [*shape];
        let work = bench::run(&gpu, &shapes, &Measured::ALL, &mut progress);
        Ok(speed(&call.unless_cancelled("the measuring", work).await?))
    }
}

fn speed(report: &Report) -> Speed {
    // Of one step, since the share is one of its time.
    let of_full = || report.kernels.iter().filter(|kernel| kernel.measured == Tuned::Full.name());
    let total: f64 = of_full().map(|kernel| kernel.seconds).sum();
    let kernels = of_full().take(LISTED).map(|kernel| SpeedKernel {
        name: [kernel.name.as_str(), &kernel.variant].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "),
        shape: kernel.shape.clone(),
        count: kernel.count as u64,
        share: kernel.seconds / total.max(1e-12),
        fraction_of_peak: kernel.fraction_of_peak,
    });
    let steps = report.steps.iter().map(|step| SpeedStep {
        model: step.model.into(),
        method: step.method.into(),
        batch: format!("{} × {}", step.batch, step.sequence),
        tokens_per_second: step.tokens_per_second,
        utilisation: step.utilisation,
    });
    let answers = report.generation.iter().map(|answer| SpeedAnswer {
        model: answer.model.into(),
        tokens_per_second: answer.tokens_per_second,
        fraction_of_bandwidth: answer.fraction_of_bandwidth,
    });
    Speed {
        device: report.device.clone(),
        peak_flops: report.peak_flops,
        peak_bandwidth: report.peak_bandwidth,
        steps: steps.collect(),
        answers: answers.collect(),
        kernels: kernels.collect(),
        text: bench::text(report, LINES),
    }
}
