//! `rootstock devices`.

use clap::Args;
use rootstock::gpu::{DeviceSummary, devices, human_bytes};
use rootstock::{Error, Result};

use super::Global;
use super::console;

/// Lists the graphics devices that can be used
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock devices
  rootstock train recipe.yaml --device 1            use the second one of the list
  rootstock train recipe.yaml --device llvmpipe     use the one of this name")]
pub(super) struct DevicesArgs {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &DevicesArgs, global: &Global) -> Result<()> {
    let list = devices(&global.choice()).await;
    if args.json {
        return console::print_json(&list);
    }
    if list.is_empty() {
        return Err(Error::device(
            "no graphics device was found; install your GPU's driver, or a software one (Debian, Ubuntu: apt-get install mesa-vulkan-drivers)",
        ));
    }
    let head = ["", "device", "kind", "backend", "memory", "largest buffer", "subgroups"].map(str::to_string).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(list.iter().map(row)).collect();
    console::print(&console::table(&rows))
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
        p.subgroup.map_or("no".into(), |n| format!("of {n}")),
    ]
}
