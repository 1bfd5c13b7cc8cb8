//! What the fuzz targets share, and the project's own tests with them.

pub mod counting;
pub mod readers;

#[doc(hidden)]
pub use libfuzzer_sys;

/// A fuzz target that gives its bytes to a reader, with the counting allocator.
#[macro_export]
macro_rules! target {
    ($reader:ident) => {
        #[global_allocator]
        static ALLOCATOR: $crate::counting::Counting = $crate::counting::Counting;

        $crate::libfuzzer_sys::fuzz_target!(
            init: {
                // A panic that the library guards against is no finding; any other ends the process on its way out of the target.
                std::panic::set_hook(Box::new(|panic| {
                    if !rootstock::platform::is_guarded() {
                        eprintln!("{panic}");
                    }
                }));
            },
            |data: &[u8]| $crate::readers::$reader(data)
        );
    };
}
