//! One way in: open → validate → prepare data → plan → train, evaluate or generate → write.
//!
//! The command line, the page and programs that use this library all go through here, so that a model is opened, judged and described
//! in one way. Names become directories through [`Places`] (paths natively, what the page holds in a browser); everything else takes
//! directories.

mod beginning;
mod descriptions;
mod merge;
mod model;
mod places;
mod respond;
mod run;

pub use beginning::beginning;
#[doc(hidden)]
pub use descriptions::parse as token_descriptions;
pub use merge::{write_merged, write_merged_as};
pub use model::Model;
pub use places::{Paths, Places, model_directory};
pub use respond::{Fitted, Responder};
pub(crate) use run::OWN_BASE;
pub use run::Run;
