//! Models that runs begin with where these are not the open base as it is stored: weights at random, more tokens (`workflow::beginning`).

use std::rc::Rc;

use super::super::messages::Settings;
use super::base::OpenBase;
use super::{Boxed, Session, settings};
use crate::config::Recipe;
use crate::error::Result;
use crate::platform::Directory;
use crate::workflow::{Model, beginning};

/// The model that was made last, and the keys that it was made by.
pub(super) struct BegunModel {
    key: String,
    model: Model,
}

/// What of a recipe changes the model before its run; `None` where nothing does.
pub(super) fn key(recipe: &Recipe) -> Option<String> {
    let changes = recipe.train_from_scratch || recipe.vocabulary.grows();
    changes.then(|| format!("{} {:?} {}", recipe.train_from_scratch, recipe.vocabulary, recipe.seed))
}

impl Session {
    /// The model that a run of the open base begins with.
    pub(super) fn begun<'a>(&'a self, base: &'a OpenBase, recipe: &'a Recipe) -> Boxed<'a, Model> {
        Box::pin(async move {
            let Some(key) = key(recipe) else { return base.model.clone() };
            if let Some(known) = self.begun_model.borrow().as_ref().filter(|known| known.key == key) {
                return Ok(known.model.clone());
            }
            let model = Model::for_run(base.directory.clone(), recipe).await?;
            *self.begun_model.borrow_mut() = Some(BegunModel { key, model: model.clone() });
            Ok(model)
        })
    }
}

/// The keys of settings that decide about the model that a run begins with.
const KEYS: [&str; 8] = [
    "finetuning_type",
    "train_from_scratch",
    "resize_vocab",
    "add_tokens",
    "add_special_tokens",
    "new_special_tokens_config",
    "init_special_tokens",
    "seed",
];

/// What settings say about the model that a run begins with.
fn resolved(settings: &Settings) -> Result<Recipe> {
    let of_model = settings.iter().filter(|(name, _)| KEYS.contains(&name.as_str()));
    let settings: Settings = of_model.map(|(name, value)| (name.clone(), value.clone())).collect();
    settings::resolve(&settings, &settings::nowhere())
}

/// What a run with these settings began with, by its base's directory. Every number of it is a function of the seed, so it need not be kept.
pub(super) fn began_with<'a>(directory: Rc<dyn Directory>, settings: &'a Settings) -> Boxed<'a, Rc<dyn Directory>> {
    Box::pin(async move { Ok(beginning(directory, &resolved(settings)?).await?.0) })
}
