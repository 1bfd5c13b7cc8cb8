//! Recipes: parsing, defaults, contradictions, and the page that documents them.

mod preferences;
mod recipe;
mod version1;
