//! `rootstock devices`.

use clap::Args;
use rootstock::gpu::{DeviceSummary, Measured, TuningSource, devices, human_bytes};
use rootstock::kernels::{Tuning, shown};
use rootstock::{Error, Result};

use super::Global;
use super::{console, tuning};

/// Lists the graphics devices that can be used
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock devices
  rootstock devices --tuning                        which kernels each of them gets, and why
  rootstock train recipe.yaml --device 1            use the second one of the list
  rootstock train recipe.yaml --device llvmpipe     use the one of this name")]
pub(super) struct DevicesArgs {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &DevicesArgs, global: &Global) -> Result<()> {
    if global.tuning == Some(None) {
        // Measures, where that never happened, so that there is something to show.
        tuning::measured(global.gpu().await?, global.console()).await;
    }
    let choice = global.choice().await?;
    let list = devices(&choice).await?;
    if args.json {
        let list: Vec<Described<'_>> = list.iter().map(|device| Described::of(device, &choice.measured)).collect();
        return console::print_json(&list);
    }
    if list.is_empty() {
        return Err(Error::device(
            "no graphics device was found; install your GPU's driver, or a software one (Debian, Ubuntu: apt-get install mesa-vulkan-drivers)",
        ));
    }
    if global.tuning.is_some() {
        let texts: Vec<String> = list.iter().map(|device| tuning_text(&Described::of(device, &choice.measured))).collect();
        return console::print(&texts.join("\n\n"));
    }
    let head = ["", "device", "kind", "backend", "memory", "largest buffer", "subgroups"].map(str::to_string).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(list.iter().map(row)).collect();
    console::print(&console::table(&rows))
}

/// A device with the kernels that it gets.
#[derive(serde::Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    summary: &'a DeviceSummary,
    /// What its family was recognised by.
    recognised: &'a str,
    tuning: &'a Tuning,
    tuning_source: TuningSource,
    /// What was tried on this device, with the times.
    measured: &'a [String],
}

impl<'a> Described<'a> {
    fn of(summary: &'a DeviceSummary, measured: &'a Measured) -> Described<'a> {
        let profile = &summary.profile;
        Described {
            summary,
            recognised: &profile.recognised,
            tuning: &profile.tuning,
            tuning_source: profile.tuning_source,
            measured: measured.of(profile).map_or(&[], |measured| &measured.tried),
        }
    }
}

fn tuning_text(device: &Described<'_>) -> String {
    let profile = &device.summary.profile;
    let family = profile.family.name();
    let source = match device.tuning_source {
        TuningSource::Family => format!("as every {family} device"),
        TuningSource::Measured => "measured on this device".into(),
        TuningSource::Given => "asked for by --tuning".into(),
        TuningSource::Recorded => "as the run began".into(),
    };
    let mut out = format!(
        "{}{} {}\nfamily   {family}, recognised by {}\nkernels  {source}\n\n",
        device.summary.index,
        if device.summary.default { " *" } else { "" },
        profile.name,
        device.recognised
    );
    let seed = Tuning::of(profile.family, profile.subgroups).fields();
    let mut rows = vec![["name", "value", "the family's"].map(str::to_string).to_vec()];
    for (name, value) in device.tuning.fields() {
        let other = seed.get(&name).filter(|seed| **seed != value).map_or(String::new(), shown);
        rows.push(vec![name, shown(&value), other]);
    }
    out += &console::table(&rows);
    if !device.measured.is_empty() {
        out += &format!("\n\nmeasured on this device:\n  {}", device.measured.join("\n  "));
    }
    out
}

fn row(a: &DeviceSummary) -> Vec<String> {
    let p = &a.profile;
    vec![
        format!("{}{}", a.index, if a.default { " *" } else { "" }),
        p.name.clone(),
        a.kind.clone(),
        p.backend.clone(),
        p.usable_memory().map_or("unknown".into(), human_bytes),
        human_bytes(p.max_binding),
        p.subgroups.map_or("no".into(), |sizes| format!("of {sizes}")),
    ]
}
