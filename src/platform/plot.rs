//! Draws `training_loss.png` and its like.

use std::error::Error;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Plot;

type Fallible = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 600;
/// Supersampling factor: the plot is drawn larger and averaged, because the backend does not antialias thick lines.
const SCALE: u32 = 3;
/// The name that the embedded font is registered under.
const FONT: &str = "sans-serif";

const RAW: RGBColor = RGBColor(31, 119, 180);
const EVAL: RGBColor = RGBColor(214, 96, 20);
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

pub(super) fn plot(plot: &Plot<'_>) -> Option<Vec<u8>> {
    let finite = |points: &[(u64, f64)]| points.iter().copied().filter(|(_, y)| y.is_finite()).collect::<Vec<_>>();
    let (train, eval) = (finite(plot.train), finite(plot.eval));
    if train.is_empty() && eval.is_empty() {
        return None;
    }
    let mut pixels = vec![255; (WIDTH * SCALE * HEIGHT * SCALE * 3) as usize];
    draw(&mut pixels, &Plot { train: &train, eval: &eval, ..*plot }).ok()?;
    encode(&shrink(&pixels)).ok()
}

/// Exponential moving average whose weight grows with the number of points, as in LLaMA-Factory's plots:
/// w = 1.8 · (sigmoid(0.05 · n) − 0.5), s ← w · s + (1 − w) · y.
fn smooth(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let weight = 1.8 * (1.0 / (1.0 + (-0.05 * points.len() as f64).exp()) - 0.5);
    let mut last = points.first().map_or(0.0, |p| p.1);
    let next = |(x, y): &(u64, f64)| {
        last = last * weight + (1.0 - weight) * y;
        (*x, last)
    };
    points.iter().map(next).collect()
}

fn draw(pixels: &mut [u8], plot: &Plot<'_>) -> Fallible {
    static FONT_IS_THERE: Once = Once::new();
    FONT_IS_THERE.call_once(|| {
        // If the font cannot be registered, drawing text fails below, and there is no plot.
        let _ = plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
    let area = BitMapBackend::with_buffer(pixels, (WIDTH * SCALE, HEIGHT * SCALE)).into_drawing_area();
    area.fill(&WHITE)?;
    draw_chart(&area, plot)?;
    area.present()?;
    Ok(())
}

fn font(size: u32, color: RGBColor) -> TextStyle<'static> {
    (FONT, (size * SCALE) as i32).into_font().color(&color)
}

fn draw_chart(area: &Area<'_>, plot: &Plot<'_>) -> Fallible {
    let Plot { title, y_desc, name, train, eval } = *plot;
    let all = || train.iter().chain(eval);
    let (first, last) = (all().map(|p| p.0).min().unwrap_or(0), all().map(|p| p.0).max().unwrap_or(1));
    let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    let margin = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
    let (low, high) = ((low - margin).max(if low >= 0.0 { 0.0 } else { f64::MIN }), high + margin);
    let digits = (1.0 - ((high - low) / 8.0).log10()).floor().clamp(1.0, 8.0) as usize;

    let mut chart = ChartBuilder::on(area)
        .margin(14 * SCALE)
        .margin_right(30 * SCALE)
        .caption(title, font(26, INK))
        .x_label_area_size(52 * SCALE)
        .y_label_area_size(78 * SCALE)
        .build_cartesian_2d(first..last.max(first + 1), low..high)?;
    chart
        .configure_mesh()
        .axis_style(INK.stroke_width(SCALE))
        .bold_line_style(GRID.stroke_width(SCALE))
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        .y_desc(y_desc)
        .axis_desc_style(font(19, INK))
        .label_style(font(17, INK))
        .set_all_tick_mark_size(5 * SCALE)
        .x_labels(10)
        .y_labels(8)
        .x_label_formatter(&|step| step.to_string())
        .y_label_formatter(&|loss| format!("{loss:.digits$}"))
        .draw()?;

    let sample = |x: i32, y: i32, style: ShapeStyle| PathElement::new(vec![(x, y), (x + 26 * SCALE as i32, y)], style);
    if !train.is_empty() {
        let thin = RAW.mix(0.45).stroke_width(4);
        chart.draw_series(LineSeries::new(train.iter().copied(), thin))?.label(name).legend(move |(x, y)| sample(x, y, thin));
        let thick = RAW.stroke_width(3 * SCALE);
        chart
            .draw_series(LineSeries::new(smooth(train), thick))?
            .label(format!("{name}, smoothed"))
            .legend(move |(x, y)| sample(x, y, thick));
    }
    if !eval.is_empty() {
        let line = EVAL.stroke_width(2 * SCALE);
        chart
            .draw_series(LineSeries::new(eval.iter().copied(), line))?
            .label(format!("eval {name}"))
            .legend(move |(x, y)| sample(x, y, line));
        chart.draw_series(eval.iter().map(|p| Circle::new(*p, 5 * SCALE, EVAL.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(14 * SCALE)
        .legend_area_size(36 * SCALE)
        .label_font(font(18, INK))
        .background_style(WHITE.mix(0.9))
        .border_style(GRID.stroke_width(SCALE))
        .draw()?;
    Ok(())
}

/// Averages blocks of SCALE × SCALE pixels. Most of a plot is white: runs that are need no sums.
fn shrink(pixels: &[u8]) -> Vec<u8> {
    const RUN: usize = 20; // pixels of the small picture, a part of its width
    const WHITE_RUN: [u8; RUN * SCALE as usize * 3] = [255; RUN * SCALE as usize * 3];
    let (scale, line) = (SCALE as usize, (WIDTH * SCALE * 3) as usize);
    let mut small = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for rows in pixels.chunks_exact(line * scale) {
        for start in (0..line).step_by(WHITE_RUN.len()) {
            let runs: [&[u8]; SCALE as usize] = std::array::from_fn(|row| &rows[row * line + start..][..WHITE_RUN.len()]);
            if runs.iter().all(|run| **run == WHITE_RUN) {
                small.extend_from_slice(&WHITE_RUN[..RUN * 3]);
                continue;
            }
            for column in 0..RUN {
                for channel in 0..3 {
                    let at = column * scale * 3 + channel;
                    let mut sum = 0;
                    for run in runs {
                        for dx in 0..scale {
                            sum += u32::from(run[at + dx * 3]);
                        }
                    }
                    small.push((sum / (SCALE * SCALE)) as u8);
                }
            }
        }
    }
    small
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_follows_the_formula_and_keeps_a_constant() {
        let flat: Vec<(u64, f64)> = (0..50).map(|i| (i, 2.5)).collect();
        assert!(smooth(&flat).iter().all(|(_, y)| (y - 2.5).abs() < 1e-12));
        // Two points: w = 1.8 · (1 / (1 + e^-0.1) − 0.5) = 0.044962…
        let two = smooth(&[(1, 1.0), (2, 0.0)]);
        assert!((two[1].1 - 0.044_962_5).abs() < 1e-6, "{two:?}");
    }

    fn loss_plot(train: &[(u64, f64)], eval: &[(u64, f64)]) -> Option<Vec<u8>> {
        plot(&Plot { title: "Training loss", y_desc: "loss per token (nats)", name: "loss", train, eval })
    }

    #[test]
    fn a_plot_is_a_picture_of_the_stated_size_with_ink_on_it() {
        let train: Vec<(u64, f64)> =
            (1..=200).map(|i| (i * 5, 3.0 * (-0.01 * i as f64).exp() + 0.2 * ((i * 37 % 11) as f64 / 11.0))).collect();
        let eval: Vec<(u64, f64)> = (1..=4).map(|i| (i * 250, 3.0 / i as f64)).collect();
        let bytes = loss_plot(&train, &eval).expect("there is something to draw");
        if let Ok(path) = std::env::var("ROOTSTOCK_PLOT") {
            std::fs::write(path, &bytes).expect("the path that was asked for can be written");
        }
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("it is a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
        reader.next_frame(&mut pixels).expect("it is whole");
        assert_eq!((reader.info().width, reader.info().height), (WIDTH, HEIGHT));
        let count = |color: RGBColor| pixels.chunks_exact(3).filter(|p| **p == [color.0, color.1, color.2]).count();
        assert!(count(RAW) > 1000, "the smoothed line is there");
        assert!(count(EVAL) > 100, "the evaluations are there");
        assert!(count(INK) > 500, "axes and letters are there");
    }

    #[test]
    fn hopeless_numbers_are_left_out() {
        assert_eq!(loss_plot(&[], &[]), None);
        assert_eq!(loss_plot(&[(1, f64::NAN)], &[]), None);
        assert!(loss_plot(&[(1, f64::NAN), (2, 1.0)], &[]).is_some());
        assert!(loss_plot(&[(7, 0.0), (7, 0.0)], &[]).is_some());
    }
}
