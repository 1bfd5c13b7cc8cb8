//! The device and the kernels that a run began with: a resumed run computes by the same, so that it ends with the same bits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gpu::{Profile, TuningSource};
use crate::kernels::{Family, Tuning};

/// The device of a run, as `trainer_state.json` records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedDevice {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// The values of its [`Tuning`], by their names.
    pub tuning: Map<String, Value>,
}

/// Which kernels a resumed run computes by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kernels {
    /// Those that the device has now.
    AsNow,
    /// Those that the run began with.
    Recorded(Box<Tuning>),
    /// Those that the device has now, which are others, for the reason in this sentence.
    Others(String),
}

impl RecordedDevice {
    pub(super) fn of(profile: &Profile) -> RecordedDevice {
        RecordedDevice { name: profile.name.clone(), family: profile.family, tuning: profile.tuning.fields() }
    }

    /// Which kernels a run that began on this device computes by on another one, or on the same.
    pub(super) fn kernels_on(&self, profile: &Profile) -> Kernels {
        let others =
            |why: &str| Kernels::Others(format!("{why}: the result may differ in its last bits from that of a run without a break"));
        if self.family != profile.family {
            return others(&format!("the run began on {} and goes on with the kernels of {}", self.name, profile.name));
        }
        // A run that does not say so began before sums were made in subgroups.
        let began = Tuning {
            sums_in_subgroups: false,
            vectors_in_subgroups: false,
            maxima_in_subgroups: false,
            ..Tuning::of(profile.family, profile.subgroups)
        };
        let recorded = began.with_fields(&self.tuning);
        let Some(recorded) = recorded.filter(|tuning| tuning.check_subgroups(profile.subgroups).is_ok()) else {
            return others(&format!("{} cannot run the kernels that the run began with, so it goes on with its own", profile.name));
        };
        if recorded == profile.tuning {
            return Kernels::AsNow;
        }
        if profile.tuning_source == TuningSource::Given {
            let changed = profile.tuning.differences(&recorded).join(",");
            return others(&format!("the run goes on with other kernels than it began with ({changed}), as was asked for"));
        }
        Kernels::Recorded(Box::new(recorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_of_the_beginning_are_kept_on_the_same_family() {
        let began = Profile::lavapipe().as_if(Family::Amd, Some(crate::kernels::Subgroups::of(64)));
        let recorded = RecordedDevice::of(&began);
        assert_eq!(recorded.kernels_on(&began), Kernels::AsNow);
        let faster = Tuning { sum_rows: 64, ..began.tuning.clone() };
        let measured = Profile { tuning: faster.clone(), tuning_source: TuningSource::Measured, ..began.clone() };
        assert_eq!(recorded.kernels_on(&measured), Kernels::Recorded(Box::new(began.tuning.clone())));
        let given = Profile { tuning: faster, tuning_source: TuningSource::Given, ..began.clone() };
        let Kernels::Others(said) = recorded.kernels_on(&given) else { panic!("they are others") };
        assert!(said.contains("(sum_rows=64), as was asked for"), "{said}");
        let before = RecordedDevice { tuning: Map::from_iter([("sum_rows".to_string(), Value::from(32))]), ..recorded.clone() };
        let Kernels::Recorded(tuning) = before.kernels_on(&began) else { panic!("it began with trees") };
        assert!(!tuning.sums_in_subgroups && began.tuning.sums_in_subgroups);
        let elsewhere = began.clone().as_if(Family::Apple, None);
        assert!(matches!(recorded.kernels_on(&elsewhere), Kernels::Others(said) if said.contains("began on")));
        let damaged = RecordedDevice { tuning: Map::from_iter([("sum_rows".to_string(), Value::from("x"))]), ..recorded };
        assert!(matches!(damaged.kernels_on(&began), Kernels::Others(said) if said.contains("cannot run the kernels")));
    }
}
