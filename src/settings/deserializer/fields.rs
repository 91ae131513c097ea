//! A table as the fields of a struct, some of which may be structs with keys of the same table. Those are read first:
//! each takes its own keys and reports them, so that a key of none of them is refused.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Node, Refused, SAME_TABLE, name, read_value};

/// The fields of a struct, with their values in a table.
pub(super) struct Fields<'a> {
    table: &'a [(String, Node)],
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
    /// The names of the fields.
    own: &'static [&'static str],
    /// The same, with the keys of the structs of this table in place of the names of those that have been read.
    keys: Vec<&'static str>,
    /// True for a struct that has only some of the keys of the table.
    is_part: bool,
}

impl<'a> Fields<'a> {
    /// Creates the fields with these names, to be read from this table, which must have no other keys.
    pub(super) fn of(table: &'a [(String, Node)], own: &'static [&'static str]) -> Self {
        Self { table, rest: table.iter(), value: None, own, keys: own.to_vec(), is_part: false }
    }

    /// Returns the index of the first struct of the same table that is still to be read.
    fn next_part(&self) -> Option<usize> {
        self.keys.iter().position(|key| key.starts_with(SAME_TABLE))
    }

    /// Returns all keys. Those of several structs are in the order of the table, if it has all of them.
    fn known_keys(&self) -> Vec<&'static str> {
        let mut keys = self.keys.clone();
        let position = |key: &&str| self.table.iter().position(|(known, _)| known == key);
        if keys != self.own && keys.iter().all(|key| position(key).is_some()) {
            keys.sort_by_key(position);
        }
        keys
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        if let Some(part) = self.next_part() {
            return seed.deserialize(name(self.keys[part])).map(Some);
        }
        for entry in self.rest.by_ref() {
            let (key, node) = entry;
            if self.own.contains(&key.as_str()) && !key.starts_with(SAME_TABLE) {
                self.value = Some(entry);
                return seed.deserialize(name(key)).map(Some);
            }
            if !self.is_part && !self.keys.contains(&key.as_str()) {
                return Err(Refused::unknown_key(&self.known_keys()).at(key, &node.place));
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let Some(part) = self.next_part() else { return read_value(self.value.take(), seed) };
        let mut keys = Vec::new();
        let value = seed.deserialize(Part { table: self.table, keys: &mut keys })?;
        match keys.iter().find(|key| self.keys.contains(key)) {
            Some(key) => Err(Refused::custom(format_args!("two structs have the key {key}"))),
            None => {
                self.keys.splice(part..=part, keys);
                Ok(value)
            }
        }
    }
}

/// A struct that has only some of the keys of a table.
struct Part<'a> {
    table: &'a [(String, Node)],
    /// Set to the keys of the struct.
    keys: &'a mut Vec<&'static str>,
}

impl<'de> Deserializer<'de> for Part<'_> {
    type Error = Refused;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let mut fields = Fields { is_part: true, ..Fields::of(self.table, fields) };
        let value = visitor.visit_map(&mut fields)?;
        *self.keys = fields.keys;
        Ok(value)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused::custom("only a struct can have its keys in the table of another"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde::Deserialize;

    use super::super::read;
    use crate::settings::layers;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Section {
        own: u8,
        #[serde(rename = "*store")]
        store: Store,
        last: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Store {
        kept: u8,
        #[serde(rename = "*times")]
        times: Times,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Times {
        ttl: u8,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "cannot be read")]
    struct Twice {
        #[serde(rename = "*one")]
        one: Times,
        #[serde(rename = "*two")]
        two: Times,
    }

    fn refusal<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        let fault = read::<T>(&layers::parse("my.toml", text).unwrap()).unwrap_err();
        format!("{}: {}: {}", fault.place, fault.path.join("."), fault.problem)
    }

    #[test]
    fn the_structs_of_a_table_take_their_keys_in_any_order() {
        let tree = layers::parse("my.toml", "ttl = 1\nlast = 2\nkept = 3\nown = 4\n").unwrap();
        let section = Section { own: 4, store: Store { kept: 3, times: Times { ttl: 1 } }, last: 2 };
        assert_eq!(read::<Section>(&tree).unwrap(), section);
    }

    #[test]
    fn a_key_of_no_struct_of_the_table_is_refused_and_so_is_one_of_two_or_none() {
        for (text, expected) in [
            ("own = 1\nx = 1\nttl = 1\nkept = 1", "2: x: unknown key; known keys are own, kept, ttl, last"),
            ("x = 1\nlast = 1\nttl = 1\nkept = 1\nown = 1", "1: x: unknown key; known keys are last, ttl, kept, own"),
            ("ttl = 1\nkept = 1\n'*store' = 1", "3: *store: unknown key; known keys are own, kept, ttl, last"),
            ("own = 1\nlast = 1\nttl = 1", "1: : the key kept is missing"),
            ("own = 1\nttl = 300\nkept = 1", "2: ttl: 300 is not u8"),
        ] {
            assert_eq!(refusal::<Section>(text), format!("my.toml, line {expected}"), "{text}");
        }
        assert_eq!(refusal::<Twice>("ttl = 1"), "my.toml, line 1: : two structs have the key ttl");
    }
}
