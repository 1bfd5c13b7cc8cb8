//! What was measured on this machine's devices, as a file in the user's cache directory.

use std::rc::Rc;

use rootstock::bench;
use rootstock::gpu::{Gpu, Measured, TuningSource};
use rootstock::kernels::DeviceClass;
use rootstock::platform::{Directory, NativeDirectory, cache_directory, write_json};

use super::console::Console;

/// The file of measured tunings.
const FILE: &str = "tunings.json";

/// What was measured earlier. What cannot be read counts as never measured.
pub(super) async fn remembered() -> Measured {
    let Some(place) = cache_directory() else { return Measured::default() };
    Measured::parse(&NativeDirectory::new(&place).read(FILE).await.unwrap_or_default())
}

/// The device with the kernels that proved fastest on it. They are measured where that never happened, which takes a second, and remembered.
pub(super) async fn measured(gpu: Gpu, console: Console) -> Rc<Gpu> {
    let gpu = Rc::new(gpu);
    let profile = gpu.profile();
    let mut known = remembered().await;
    if profile.class == DeviceClass::Cpu || profile.tuning_source == TuningSource::Given || known.of(profile).is_some() {
        return gpu;
    }
    console.say(&format!("measuring which kernels are fastest on {}, once …", profile.name));
    // A device that fails here fails in what follows too, and says why.
    let Ok(found) = bench::tune(&gpu, bench::BUDGET).await else { return gpu };
    known.insert(profile, found);
    if let Some(place) = cache_directory() {
        // Where nothing can be written it is measured again next time.
        let _ = write_json(&NativeDirectory::new(&place), FILE, &known).await;
    }
    match known.tuning(profile) {
        Some(tuning) => Rc::new(gpu.with_tuning(tuning, TuningSource::Measured)),
        None => gpu,
    }
}
