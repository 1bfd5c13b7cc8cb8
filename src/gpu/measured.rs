//! What was measured on devices earlier, as it is kept in a file: by the device, its driver, and the kernels that were measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Profile;
use crate::kernels::{ALL, Tuning};

/// Measured tunings by the device that they are of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Measured {
    devices: BTreeMap<String, MeasuredTuning>,
}

/// What was measured on a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeasuredTuning {
    /// The values that proved faster than the family's, by the tuning's names.
    pub changes: Map<String, Value>,
    /// What was tried, in words, with the times.
    pub tried: Vec<String>,
}

/// Devices that are remembered at most; a driver's update makes another one.
const KEPT: usize = 16;

impl Measured {
    /// Reads what was kept. A damaged file counts as none: measuring again costs a second.
    pub fn parse(bytes: &[u8]) -> Measured {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// What was measured on this device with this version of the kernels.
    pub fn of(&self, profile: &Profile) -> Option<&MeasuredTuning> {
        self.devices.get(&key(profile))
    }

    /// Remembers what was measured on a device.
    pub fn insert(&mut self, profile: &Profile, measured: MeasuredTuning) {
        if self.devices.len() >= KEPT {
            self.devices.clear();
        }
        self.devices.insert(key(profile), measured);
    }

    /// The tuning of this device with what was measured; `None` where nothing was, or nothing was faster.
    pub fn tuning(&self, profile: &Profile) -> Option<Tuning> {
        let measured = self.of(profile).filter(|measured| !measured.changes.is_empty())?;
        profile.tuning.with_fields(&measured.changes).filter(|tuning| tuning.check_subgroups(profile.subgroups).is_ok())
    }
}

/// Vendor, architecture, name, driver or browser, and the kernels.
fn key(profile: &Profile) -> String {
    let Profile { vendor, architecture, name, driver, family, .. } = profile;
    format!("{} | {vendor} | {architecture} | {name} | {driver} | {}", family.name(), kernels_hash())
}

/// A hash of all kernels' texts.
fn kernels_hash() -> String {
    let mut hash = Sha256::new();
    for shader in ALL {
        hash.update(shader.name);
        hash.update(shader.wgsl());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Family;

    #[test]
    fn a_measurement_is_of_one_device_and_driver() {
        let profile = Profile::lavapipe().as_if(Family::UnknownGpu, None);
        let changes: Map<String, Value> = serde_json::from_str(r#"{"sum_rows": 64}"#).expect("JSON");
        let mut measured = Measured::default();
        assert_eq!(measured.tuning(&profile), None);
        measured.insert(&profile, MeasuredTuning { changes, tried: Vec::new() });
        let read = Measured::parse(&serde_json::to_vec(&measured).expect("JSON"));
        assert_eq!(read.tuning(&profile).map(|tuning| tuning.sum_rows), Some(64));
        let updated = Profile { driver: "Mesa 99".into(), ..profile.clone() };
        assert_eq!(read.tuning(&updated), None);
        assert_eq!(Measured::parse(b"{").tuning(&profile), None);
    }

    #[test]
    fn what_the_kernels_do_not_take_is_not_used() {
        let profile = Profile::lavapipe().as_if(Family::UnknownGpu, None);
        let mut measured = Measured::default();
        let changes: Map<String, Value> = serde_json::from_str(r#"{"products": "subgroup"}"#).expect("JSON");
        measured.insert(&profile, MeasuredTuning { changes, tried: Vec::new() });
        assert_eq!(measured.tuning(&profile), None, "it has no subgroups of 8 lanes");
    }
}
