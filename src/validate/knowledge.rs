//! Tests whether a model predicts anything at all, regardless of its loss: a model trained on a narrow subject can have a loss above
//! chance on every other text, although its weights are not random.

use crate::engine::Engine;
use crate::error::Result;
use crate::generate::{Generator, GeneratorOptions, surprise};

/// Minimum evidence ([`Reading::evidence`]) of a trained model, in standard errors. Models with random weights stay within 3.5, also
/// with a random head or with layers in a wrong order; a model of a million parameters, trained on the stories of one village, reaches
/// 9 on an English text that it predicts worse than chance.
pub(super) const KNOWS: f64 = 5.0;

/// Texts for models that were not trained on English.
pub(super) const OTHER_TEXTS: [(&str, &str); 4] = [
    (
        "Spanish",
        "Por la mañana el jardinero salió a mirar los árboles. Había llovido durante la noche y la hierba todavía estaba mojada. Caminó por el \
         sendero hasta el viejo muro, donde crecían las rosas, y cortó algunas para la casa. Después se sentó en el banco bajo el manzano y \
         leyó la carta que había llegado el día anterior. Su hermano escribía que llegaría el sábado y que el viaje era largo.",
    ),
    (
        "Russian",
        "Утром садовник вышел посмотреть на деревья. Ночью шёл дождь, и трава была ещё мокрая. Он прошёл по дорожке к старой стене, где росли \
         розы, и срезал несколько для дома. Потом он сел на скамейку под яблоней и прочитал письмо, которое пришло накануне. Его брат \
         писал, что приедет в субботу и что дорога будет долгой.",
    ),
    (
        "Chinese",
        "早上,园丁出去看树。夜里下过雨,草还是湿的。他沿着小路走到老墙边,那里长着玫瑰,他为家里剪了几枝。然后他坐在苹果树下的长椅上,\
         读了前一天收到的信。他的哥哥写道,他将在星期六到达,路很远,他很高兴能再次看到这座房子。他把信放回口袋,拿起篮子,进屋去泡茶。",
    ),
    (
        "Python",
        "import os\n\ndef read_lines(path):\n    with open(path, \"r\") as file:\n        return [line.strip() for line in file]\n\n\nclass Counter:\n    \
         def __init__(self):\n        self.count = 0\n\n    def add(self, value):\n        if value is None:\n            return\n        \
         self.count += len(value)\n\n\nif __name__ == \"__main__\":\n    counter = Counter()\n    for line in read_lines(os.environ[\"HOME\"]):\n        \
         counter.add(line)\n    print(counter.count)\n",
    ),
];

/// The result of running a model on a text.
pub(super) struct Reading {
    /// The loss of every token but the first, in nats.
    pub(super) losses: Vec<f64>,
    /// How much likelier the actual next tokens are than the text's other tokens in their place, in standard errors: about 0 for a model
    /// whose predictions do not depend on its input. General over- or underconfidence cancels out.
    pub(super) evidence: f64,
}

/// Runs a model on a text.
///
/// # Errors
/// When memory is insufficient or the device fails.
pub(super) async fn read(engine: &Engine, ids: &[u32]) -> Result<Reading> {
    let mut generator = Generator::sharing(engine, GeneratorOptions { context: Some(ids.len()), chunk: None }).await?;
    let (mut losses, mut advantages) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    generator
        .each_logits(ids, |at, row| {
            let Some(&next) = ids.get(at + 1) else { return };
            let logit = |id: &u32| f64::from(row[*id as usize]);
            let others = ids[1..].iter().map(logit).sum::<f64>() / (ids.len() - 1) as f64;
            advantages.push(logit(&next) - others);
            losses.push(surprise(&row, next));
        })
        .await?;
    Ok(Reading { losses, evidence: standard_errors(&advantages) })
}

/// The mean in units of its standard error.
pub(super) fn standard_errors(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean / (variance / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_measured_by_its_spread() {
        assert!((standard_errors(&[1.0, 2.0, 3.0]) - 2.0 * 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(standard_errors(&[1.0, -1.0]), 0.0);
        // A model that gives every token the same probability shows no evidence.
        assert!(standard_errors(&[0.0, 0.0]).is_nan());
    }
}
