//! Whether a text is JSON to its last escape, and how much of it there is. Libraries that skip what they do not need fail on it later.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Any JSON value, read to its end and not kept: how many values and keys are in it.
pub(super) struct WellFormed(pub(super) usize);

impl<'de> Deserialize<'de> for WellFormed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WellFormed(0))
    }
}

impl<'de> Visitor<'de> for WellFormed {
    type Value = WellFormed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_bool<E>(self, _: bool) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_u64<E>(self, _: u64) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_str<E>(self, _: &str) -> Result<WellFormed, E> {
        Ok(WellFormed(1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WellFormed, A::Error> {
        let mut count = 1;
        while let Some(item) = items.next_element::<WellFormed>()? {
            count += item.0;
        }
        Ok(WellFormed(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WellFormed, A::Error> {
        let mut count = 1;
        while let Some((key, value)) = entries.next_entry::<WellFormed, WellFormed>()? {
            count += key.0 + value.0;
        }
        Ok(WellFormed(count))
    }
}

#[cfg(test)]
mod tests {
    use super::WellFormed;

    #[test]
    fn an_escape_that_is_no_character_is_found() {
        let read = |text: &str| serde_json::from_str::<WellFormed>(text).map(drop).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"a": [1, -2, 3.5, "é\n\ud83c\udf33", null, true], "b": {}}"#), Ok(()));
        assert!(read(r#"{"a": {"b": "\ud83c"}}"#).is_err(), "half of a pair");
        assert_eq!(serde_json::from_str::<WellFormed>(r#"{"a": [1, 2], "b": {}}"#).map(|json| json.0).ok(), Some(7));
        assert!(read(r#"{"a": "\q"}"#).is_err() && read("[1").is_err() && read(&"[".repeat(1000)).is_err());
    }
}
