//! Sizes of subgroups, and which sums across lanes are made by their operations.

use std::fmt;

use super::{Dispatch, Tuning};

/// The sizes that the subgroups of a device may have, in lanes: powers of two. Within one kernel all have the same, which the kernel's compiler chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Subgroups {
    /// The smallest.
    pub least: u32,
    /// The largest.
    pub most: u32,
}

impl Subgroups {
    /// Of these sizes; `None` where a driver tells what cannot be.
    pub fn new(least: u32, most: u32) -> Option<Subgroups> {
        (least.is_power_of_two() && most.is_power_of_two() && least <= most).then_some(Subgroups { least, most })
    }

    /// Of one size.
    pub const fn of(lanes: u32) -> Subgroups {
        Subgroups { least: lanes, most: lanes }
    }

    /// The size, if it is always the same.
    pub fn same(self) -> Option<u32> {
        (self.least == self.most).then_some(self.least)
    }

    /// Whether a sum over this many neighbouring lanes is made of whole subgroups, or within one, whatever size the compiler chooses. Otherwise a kernel
    /// would have to be ready for both, which takes more instructions than the tree that it replaces (docs/performance.md).
    pub fn can_share(self, lanes: u32) -> bool {
        lanes > 1 && (lanes >= self.most || lanes <= self.least)
    }
}

impl fmt::Display for Subgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.same() {
            Some(lanes) => write!(f, "{lanes}"),
            None => write!(f, "{} to {}", self.least, self.most),
        }
    }
}

impl Dispatch {
    /// The same with its sums across lanes by subgroup operations, where the kernel has such a version, the tuning chooses it and the sizes of the device's
    /// subgroups allow it.
    pub fn in_subgroups(self, subgroups: Subgroups, tuning: &Tuning) -> Dispatch {
        let Some(across) = &self.shader.across else { return self };
        let chosen = if across.vectors { tuning.vectors_in_subgroups } else { tuning.sums_in_subgroups };
        if !chosen || across.maxima && !tuning.maxima_in_subgroups {
            return self;
        }
        let lanes = self.constants.iter().find(|(name, _)| *name == across.lanes).map_or(0, |(_, lanes)| *lanes as u32);
        if !subgroups.can_share(lanes) {
            return self;
        }
        let how = [
            ("LEAST", f64::from(subgroups.least)),
            ("MOST", f64::from(subgroups.most)),
            ("SHUFFLES", f64::from(u8::from(tuning.subgroup_shuffles))),
        ];
        Dispatch { shader: across.shader, constants: self.constants.into_iter().chain(how).collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{ALL, Family, rms_norm_forward, workgroups};

    #[test]
    fn sums_are_of_whole_subgroups_or_within_one() {
        let shared = |least, most| {
            let sizes = Subgroups::new(least, most).expect("powers of two");
            [1, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().filter(|lanes| sizes.can_share(*lanes)).collect::<Vec<u32>>()
        };
        assert_eq!(shared(32, 32), [2, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(shared(8, 32), [2, 4, 8, 32, 64, 128, 256]);
        assert_eq!(shared(4, 128), [2, 4, 128, 256]);
        assert_eq!(Subgroups::new(0, 0), None);
        assert_eq!(Subgroups::new(24, 32), None);
    }

    #[test]
    fn a_kernel_is_told_the_sizes() {
        let norm = |lanes| {
            let constants = rms_norm_forward::Constants { LANES: lanes, ROWS: 256 / lanes };
            let bind = crate::kernels::Bind { resource: crate::kernels::Resource::Inputs, offset: 0, size: 16 };
            let bindings = rms_norm_forward::Bindings { x: bind, weight: bind, y: bind, rstd: bind };
            let dispatch = rms_norm_forward::dispatch(rms_norm_forward::Params::default(), constants, bindings, workgroups(1));
            let sizes = Subgroups { least: 8, most: 32 };
            let dispatch = dispatch.in_subgroups(sizes, &Tuning::of(Family::IntelSimd8, Some(sizes)));
            (dispatch.shader.name, dispatch.constants)
        };
        let (name, constants) = norm(64);
        assert_eq!(name, "rms_norm_forward.lanes");
        assert_eq!(constants, [("LANES", 64.0), ("ROWS", 4.0), ("LEAST", 8.0), ("MOST", 32.0), ("SHUFFLES", 0.0)]);
        assert_eq!(norm(16).0, "rms_norm_forward");
    }

    #[test]
    fn what_uses_subgroups_is_called_so() {
        for shader in ALL {
            assert_eq!(shader.uses_subgroups(), shader.wgsl().contains("subgroup"), "{}", shader.name);
        }
        assert!(ALL.iter().any(|shader| shader.across.is_some()));
    }
}
