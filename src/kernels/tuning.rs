//! Which version of each kernel a device gets, and how it cuts the work: the only place that decides it.

use super::{Subgroups, workgroups};

/// Which kind of processor runs the shaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// A software device (lavapipe, SwiftShader, WARP): barriers and workgroup memory are slow.
    Cpu,
    /// A graphics processor.
    Gpu,
}

/// Families of devices, each with a tuning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// NVIDIA, and others whose subgroups have 32 lanes.
    NvidiaLike,
    /// AMD.
    Amd,
    /// Apple.
    Apple,
    /// Intel before Xe2: the compiler may take subgroups of 8 lanes.
    IntelSimd8,
    /// Intel from Xe2 on: subgroups of at least 16 lanes.
    IntelXe2,
    /// A GPU of another maker, or one that a browser does not name.
    UnknownGpu,
    /// Mesa's software device.
    Lavapipe,
    /// Another software device: SwiftShader, WARP.
    OtherProcessor,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 8] = [
        Family::NvidiaLike,
        Family::Amd,
        Family::Apple,
        Family::IntelSimd8,
        Family::IntelXe2,
        Family::UnknownGpu,
        Family::Lavapipe,
        Family::OtherProcessor,
    ];

    /// Its name, as `--tuning` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Family::NvidiaLike => "nvidia-like",
            Family::Amd => "amd",
            Family::Apple => "apple",
            Family::IntelSimd8 => "intel-simd8",
            Family::IntelXe2 => "intel-xe2",
            Family::UnknownGpu => "unknown-gpu",
            Family::Lavapipe => "lavapipe",
            Family::OtherProcessor => "other-processor",
        }
    }

    /// Whether this value of a tuning makes a product keep more numbers than a thread of the family has registers for, as the compilers' statistics say
    /// (docs/performance.md). Nothing is known of a GPU that hides its maker, so it is taken for the narrowest.
    pub fn spills(self, name: &str, value: &str) -> bool {
        let narrow = matches!(self, Family::IntelSimd8 | Family::IntelXe2 | Family::UnknownGpu);
        match (name, value) {
            ("product_unroll", "true") | ("product_steps", "8") => narrow,
            ("product_prefetch", "true") => narrow || self == Family::Apple,
            _ => false,
        }
    }

    /// What runs the shaders.
    pub fn class(self) -> DeviceClass {
        match self {
            Family::Lavapipe | Family::OtherProcessor => DeviceClass::Cpu,
            _ => DeviceClass::Gpu,
        }
    }
}

/// The versions of a kernel that has several (`<kernel>.<version>.wgsl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// A subgroup is a workgroup; operands are broadcast from constant lanes. For processors.
    Subgroup,
    /// A quad is a workgroup, whose lanes swap operands. For processors, and for matrix products only.
    Quads,
    /// A block of the output in the registers of each thread, nothing shared. For processors; right everywhere.
    Registers,
    /// Tiles in workgroup memory. For GPUs.
    Tiled,
}

/// The choice of kernels for a device. Everything in it is a number or a name, so that a program can be compiled without a device; two
/// devices with the same tuning run the same dispatches.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tuning {
    /// The matrix products' version. `Subgroup` needs subgroups of exactly 8 or 16 lanes, `Quads` of at least 4.
    pub products: Version,
    /// Lanes of the subgroups of `Subgroup`: 8 or 16.
    pub product_lanes: u32,
    /// A forward product with at most this many rows streams the weight once instead of making tiles.
    pub vector_rows: usize,
    /// Most threads that share a row of the weight there, a power of two; 1 where workgroup memory is slow.
    pub vector_lanes: u32,
    /// Workgroups of a tiled product that are aimed at by splitting its contraction.
    pub product_workgroups: usize,
    /// Workgroups for which tiles become smaller, and parts of the contraction shorter.
    pub product_workgroups_least: usize,
    /// Fewest steps of a part of a split contraction, but for products that would stay below the least workgroups.
    pub product_part: usize,
    /// Contractions shorter than this stay whole where smaller tiles alone make the least workgroups: a second pass would cost more.
    pub product_unsplit: usize,
    /// Most bytes of the parts' sums.
    pub product_part_bytes: usize,
    /// Steps of the contraction that a tiled product keeps in workgroup memory: 8 or 16.
    pub product_steps: u32,
    /// Whether a tiled product writes four steps of its inner loop out.
    pub product_unroll: bool,
    /// Whether a tiled product loads its next steps while it multiplies, for 32 registers more.
    pub product_prefetch: bool,
    /// Whether a tiled product keeps its tiles in f16 where a run computes in `fp16` and the device can: half the workgroup memory, and a
    /// conversion for each number that is read from there, which not every device has for nothing.
    pub product_half: bool,
    /// Multiply-adds from which a product by quads gets the largest tiles. Their code is a third faster and takes several times as long to compile.
    pub product_large: usize,
    /// Most bytes of a chunk of the output head's logits, where the device has memory enough.
    pub head_bytes: usize,
    /// The attention kernels' version. `Subgroup` needs subgroups of at least 8 lanes.
    pub attention: Version,
    /// Rows of a thread of the tiled attention kernels over queries: 8, or 4 where registers are few.
    pub attention_rows: u32,
    /// The longest head, in floats, whose sums stay in the registers there: 128 or 64.
    pub attention_kept: usize,
    /// How many of the gradients of values and keys the tiled kernel over keys keeps in registers: both (2), those of values (1) or none.
    pub attention_key_kept: u32,
    /// With fewer workgroups each query head gets workgroups of its own in the tiled kernel over keys.
    pub attention_key_workgroups: usize,
    /// Lanes that share a row in kernels that work row by row, where each workgroup takes one row; `None`: lanes by the row's width, and as
    /// many rows as fill a workgroup of 256.
    pub row_lanes: Option<u32>,
    /// Whether sums across the lanes of a row are made by subgroup operations, where the sizes of the device's subgroups allow it.
    pub sums_in_subgroups: bool,
    /// The same of sums of four numbers at a time.
    pub vectors_in_subgroups: bool,
    /// Whether that is done also where the largest number is looked for.
    pub maxima_in_subgroups: bool,
    /// Whether subgroups that all have one size are added up by shuffles instead of the device's own operation.
    pub subgroup_shuffles: bool,
    /// Fewest rows of a block in sums over rows.
    pub sum_rows: usize,
    /// Threads of a workgroup in kernels in which every thread walks a long row or list by itself.
    pub long_threads: u32,
    /// Threads of a workgroup in the gradient norm.
    pub norm_threads: u32,
    /// Elements of four floats that one of them adds up.
    pub norm_items: u32,
    /// Tokens of a prompt that are computed at once in generation.
    pub prompt_tokens: usize,
}

impl Tuning {
    /// The tuning for a family of devices; `subgroups` are the sizes of its subgroups, where their operations may be used.
    pub fn of(family: Family, subgroups: Option<Subgroups>) -> Tuning {
        let subgroup = subgroups.and_then(Subgroups::same);
        match family {
            // Few threads to feed, and a barrier costs more than the lanes save: a row goes to one subgroup, which is one workgroup, whose
            // lanes load side by side. On lavapipe that is 1.5 to 5 times faster than a lane a row or several rows a workgroup.
            Family::Lavapipe | Family::OtherProcessor => Tuning {
                products: match subgroup {
                    Some(8 | 16) => Version::Subgroup,
                    Some(lanes) if lanes >= 4 && family == Family::OtherProcessor => Version::Quads,
                    _ => Version::Registers,
                },
                product_lanes: subgroup.filter(|lanes| *lanes == 16).unwrap_or(8),
                vector_rows: 8,
                vector_lanes: 1,
                product_workgroups: 512,
                product_workgroups_least: 200,
                product_part: 256,
                product_unsplit: 1024,
                product_part_bytes: 16 << 20,
                // In a browser's software device a tenth of a second against half a second, which a few dozen steps make up for.
                product_large: 1 << 24,
                head_bytes: 64 << 20,
                product_steps: 16,
                product_unroll: false,
                product_prefetch: false,
                product_half: false,
                attention: if subgroup.is_some_and(|lanes| lanes >= 8) { Version::Subgroup } else { Version::Registers },
                attention_rows: 4,
                attention_kept: 64,
                attention_key_kept: 1,
                attention_key_workgroups: 512,
                // Elsewhere than on lavapipe only 8 was measured, and Chromium's software device has subgroups of 4.
                row_lanes: Some(subgroup.filter(|_| family == Family::Lavapipe).unwrap_or(8).clamp(4, 64)),
                sums_in_subgroups: false,
                vectors_in_subgroups: false,
                maxima_in_subgroups: false,
                subgroup_shuffles: false,
                sum_rows: 512,
                long_threads: 8,
                norm_threads: 8,
                norm_items: 128,
                prompt_tokens: 64,
            },
            // Many short blocks, so that there are threads enough; a prompt's chunk needs more rows to fill the device.
            // No family of GPUs was measured yet: all get the same.
            Family::NvidiaLike | Family::Amd | Family::Apple | Family::IntelSimd8 | Family::IntelXe2 | Family::UnknownGpu => Tuning {
                products: Version::Tiled,
                product_lanes: 8,
                vector_rows: 8,
                vector_lanes: 64,
                product_workgroups: 512,
                product_workgroups_least: 200,
                product_part: 256,
                product_unsplit: 1024,
                product_part_bytes: 16 << 20,
                product_large: 1 << 24,
                head_bytes: 256 << 20,
                product_steps: 16,
                product_unroll: family == Family::NvidiaLike,
                product_prefetch: family == Family::Amd,
                // Where reading a half as an f32 costs nothing, as the compilers' statistics say (docs/performance.md).
                product_half: family == Family::Apple,
                attention: Version::Tiled,
                // What spills on none of its compilers; a GPU that is not known gets what Intel's takes.
                attention_rows: if matches!(family, Family::NvidiaLike | Family::Amd) { 8 } else { 4 },
                attention_kept: if matches!(family, Family::NvidiaLike | Family::Amd | Family::Apple) { 128 } else { 64 },
                attention_key_kept: if matches!(family, Family::NvidiaLike | Family::Amd | Family::Apple) { 2 } else { 1 },
                attention_key_workgroups: 512,
                row_lanes: None,
                // Where the compilers' statistics show fewer instructions than for a tree with a barrier for each halving (docs/performance.md).
                sums_in_subgroups: subgroups.is_some(),
                vectors_in_subgroups: subgroups.is_some() && !matches!(family, Family::IntelXe2 | Family::UnknownGpu),
                maxima_in_subgroups: subgroups.is_some() && !matches!(family, Family::Apple | Family::UnknownGpu),
                subgroup_shuffles: family == Family::NvidiaLike,
                sum_rows: 32,
                long_threads: 64,
                norm_threads: 256,
                norm_items: 16,
                prompt_tokens: 256,
            },
        }
    }

    /// Lanes of a row and rows of a workgroup for rows of `width` elements of four floats.
    pub fn lanes(&self, width: u32) -> (u32, u32) {
        match self.row_lanes {
            Some(lanes) => (lanes, 1),
            None => {
                let lanes = (width / 4).next_power_of_two().clamp(1, 256);
                (lanes, (256 / lanes).clamp(1, 64))
            }
        }
    }

    /// Rows of a block in a sum over `rows` rows.
    pub fn block_rows(&self, rows: usize) -> usize {
        // At most 256 blocks, or the second stage becomes the long one.
        rows.div_ceil(256).max(self.sum_rows)
    }
}

/// Workgroups for `rows` rows at `per_group` a workgroup.
pub fn row_groups(rows: usize, per_group: u32) -> [u32; 3] {
    workgroups(rows.div_ceil(per_group as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_versions() {
        let versions = |family, subgroup: Option<u32>| {
            let tuning = Tuning::of(family, subgroup.map(Subgroups::of));
            (tuning.products, tuning.attention)
        };
        assert_eq!(versions(Family::Lavapipe, Some(8)), (Version::Subgroup, Version::Subgroup));
        assert_eq!(versions(Family::Lavapipe, Some(16)), (Version::Subgroup, Version::Subgroup));
        assert_eq!(Tuning::of(Family::Lavapipe, Some(Subgroups::of(16))).product_lanes, 16);
        assert_eq!(versions(Family::Lavapipe, Some(32)), (Version::Registers, Version::Subgroup));
        assert_eq!(versions(Family::Lavapipe, Some(4)), (Version::Registers, Version::Registers));
        assert_eq!(versions(Family::Lavapipe, None), (Version::Registers, Version::Registers));
        assert_eq!(versions(Family::OtherProcessor, Some(4)), (Version::Quads, Version::Registers));
        assert_eq!(versions(Family::OtherProcessor, None), (Version::Registers, Version::Registers));
        assert_eq!(versions(Family::NvidiaLike, Some(32)), (Version::Tiled, Version::Tiled));
    }

    #[test]
    fn no_family_begins_with_what_spills_on_it() {
        for family in Family::ALL.into_iter().filter(|family| family.class() == DeviceClass::Gpu) {
            for (name, value) in Tuning::of(family, None).fields() {
                assert!(!family.spills(&name, &super::super::shown(&value)), "{family:?}: {name}={value}");
            }
        }
    }

    #[test]
    fn a_family_is_written_by_its_name() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).expect("JSON"), family.name());
        }
    }

    #[test]
    fn a_tuning_is_read_back_as_it_was_written() {
        let tuning = Tuning::of(Family::UnknownGpu, None);
        let json = serde_json::to_string(&tuning).expect("JSON");
        assert_eq!(serde_json::from_str::<Tuning>(&json).expect("a tuning"), tuning);
    }
}
