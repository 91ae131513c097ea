//! A serde deserializer for the tree of settings, whose errors carry the key and its place. Its messages never
//! repeat a text, which may be a secret; only the parsers of types that hold no secret do. It refuses unknown keys of
//! every struct, without `deny_unknown_fields`.
//!
//! A field whose name begins with [`SAME_TABLE`] is a struct whose keys are in the same table, so that each component
//! that uses a table has a struct of its keys; see [`fields`]. (Serde's attribute `flatten` would lose the places.)

mod fields;
pub(super) mod refused;

use std::iter::Enumerate;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use self::fields::Fields;
use self::refused::Refused;
use super::fault::{Fault, Remedy};
use super::node::{Node, Place, Value, list_items};

/// Reads the whole tree as a `T`. Fails with the first fault.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Fault> {
    T::deserialize(Reader(root)).map_err(|mut refused| {
        refused.path.reverse();
        let place = refused.place.unwrap_or_else(|| root.place.clone());
        let remedy = refused.item.map_or(Remedy::Default, Remedy::WithoutItem);
        Fault { path: refused.path, place, problem: refused.problem, remedy }
    })
}

/// Reads the whole tree as a `T`, and returns only the first fault, as it was found.
pub(super) fn probe<T: DeserializeOwned>(root: &Node) -> Result<(), Refused> {
    T::deserialize(Reader(root)).map(drop).map_err(|mut refused| {
        refused.path.reverse();
        refused
    })
}

/// First character of the name of a field whose struct has its keys in the same table.
const SAME_TABLE: char = '*';

struct Reader<'a>(&'a Node);

macro_rules! parsed_from_variable {
    ($($method:ident $visit:ident $expected:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            match &self.0.value {
                Value::Variable(text) => match text.parse() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(Refused::custom(concat!("is not ", $expected))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.0.value {
            Value::Table(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
            Value::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Value::Text(text) | Value::Variable(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Date => Err(Refused::invalid_type(Unexpected::Other("date"), &visitor)),
        }
    }

    parsed_from_variable! {
        deserialize_bool visit_bool "true or false"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u64 "a whole number of 0 or more"
        deserialize_u32 visit_u64 "a whole number of 0 or more"
        deserialize_u64 visit_u64 "a whole number of 0 or more"
    }

    /// Reads a list; a variable holds the items separated by commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let Value::Variable(text) = &self.0.value else { return self.deserialize_any(visitor) };
        let item = |text: &str| Node { place: self.0.place.clone(), value: Value::Variable(text.to_owned()) };
        let items: Vec<Node> = list_items(text).map(item).collect();
        visitor.visit_seq(Items(items.iter().enumerate()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match &self.0.value {
            Value::Text(text) | Value::Variable(text) => visitor.visit_enum(Variant(text)),
            Value::Table(_)
            | Value::List(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Date => Err(Refused::wrong_type("is not a string")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if let Value::Table(entries) = &self.0.value {
            return visitor.visit_map(Fields::of(entries, fields));
        }
        // Serde would take the items of a list for the fields.
        if let Value::List(_) = &self.0.value {
            return Err(Refused::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    /// Reads a value: TOML has no null.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        identifier ignored_any
    }
}

/// The entries of a table whose keys the operator chooses.
struct Entries<'a> {
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.value = self.rest.next();
        self.value
            .map(|(key, node)| seed.deserialize(name(key)).map_err(|refused| refused.at(key, &node.place)))
            .transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        read_value(self.value.take(), seed)
    }
}

/// Reads the value of the entry whose key was read before.
fn read_value<'de, S: DeserializeSeed<'de>>(entry: Option<&(String, Node)>, seed: S) -> Result<S::Value, Refused> {
    let (key, node) = entry.ok_or_else(|| Refused::custom("a value without a key"))?;
    seed.deserialize(Reader(node)).map_err(|refused| refused.at(key, &node.place))
}

/// Returns a deserializer of this name.
fn name(key: &str) -> StrDeserializer<'_, Refused> {
    key.into_deserializer()
}

struct Items<'a>(Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(node)).map(Some).map_err(|mut refused| {
            refused.place.get_or_insert_with(|| node.place.clone());
            // A fault of a table in a list is one of the item, too.
            (refused.item, refused.path) = (Some(index), Vec::new());
            refused
        })
    }
}

struct Variant<'a>(&'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refused;
    type Variant = <StrDeserializer<'static, Refused> as EnumAccess<'de>>::Variant;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Refused> {
        name(self.0).variant_seed(seed)
    }
}
