//! A serde deserializer for the tree of settings, whose errors carry the key and its place. Its messages never
//! repeat a text, which may be a secret; only the parsers of types that hold no secret do.
//!
//! A field with the name [`SAME_TABLE`] is a struct whose keys are in the same table. (The attribute `flatten` of serde
//! would lose the places.)

use std::fmt::Display;
use std::iter::Enumerate;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use super::layers::{Node, Place, Value, list_items};
use super::repair::{Fault, Remedy};

/// Reads the whole tree as a `T`. Fails with the first fault.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Fault> {
    T::deserialize(Reader(root)).map_err(|mut refused| {
        refused.path.reverse();
        let place = refused.place.unwrap_or_else(|| root.place.clone());
        let remedy = refused.item.map_or(Remedy::Default, Remedy::WithoutItem);
        Fault { path: refused.path, place, problem: refused.problem, remedy }
    })
}

/// A deserialization error: the innermost known place, and the keys from there up to the root.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
struct Refused {
    path: Vec<String>,
    place: Option<Place>,
    problem: String,
    /// The index in the innermost list, if that list is the value of the key.
    item: Option<usize>,
}

impl Refused {
    fn at(mut self, key: &str, place: &Place) -> Self {
        self.path.push(key.to_owned());
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl Error for Refused {
    fn custom<T: Display>(problem: T) -> Self {
        Self { path: Vec::new(), place: None, problem: problem.to_string(), item: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("is {}, not {}", kind(&found), expectation(expected)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "others may be secrets: the message names their kind only")]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Signed(number) => Self::custom(format_args!("{number} is not {}", expectation(expected))),
            Unexpected::Unsigned(number) => Self::custom(format_args!("{number} is not {}", expectation(expected))),
            other => Self::invalid_type(other, expected),
        }
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        let known: Vec<&str> = known.iter().copied().filter(|name| *name != SAME_TABLE).collect();
        Self::custom(format_args!("unknown key; known keys are {}", known.join(", ")))
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!("'{found}' is not one of {}", known.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key {field} is missing"))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "TOML has no other kinds")]
fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction or out of range",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "a date",
    }
}

fn expectation(expected: &dyn Expected) -> String {
    match expected.to_string() {
        text if text.starts_with("a nonzero ") => "a whole number of 1 or more".to_owned(),
        text if matches!(text.as_str(), "u16" | "u32" | "u64" | "usize") => "a whole number of 0 or more".to_owned(),
        text if text == "a boolean" => "true or false".to_owned(),
        text if text == "a sequence" => "a list".to_owned(),
        text if text.starts_with("struct ") || text == "a map" => "a table".to_owned(),
        text => text,
    }
}

/// Name of a field whose struct has its keys in the same table.
const SAME_TABLE: &str = "*";

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
            Value::Table(entries) => visitor.visit_map(Entries::of(entries)),
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
            | Value::Date => Err(Refused::custom("is not a string")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if let Value::Table(entries) = &self.0.value
            && fields.contains(&SAME_TABLE)
        {
            return visitor.visit_map(Entries { part: Some(entries), ..Entries::of(entries) });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct tuple tuple_struct
        map identifier ignored_any
    }
}

/// The entries of a table.
struct Entries<'a> {
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
    /// The table, while the struct with the keys in it is still to be read. It is read first.
    part: Option<&'a [(String, Node)]>,
    /// The keys of that struct.
    keys_of_part: &'static [&'static str],
}

impl<'a> Entries<'a> {
    fn of(entries: &'a [(String, Node)]) -> Self {
        Self { rest: entries.iter(), value: None, part: None, keys_of_part: &[] }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        if self.part.is_some() {
            let name: StrDeserializer<'_, Refused> = SAME_TABLE.into_deserializer();
            return seed.deserialize(name).map(Some);
        }
        let keys_of_part = self.keys_of_part;
        self.value = self.rest.find(|(key, _)| !keys_of_part.contains(&key.as_str()));
        let Some((key, node)) = self.value else { return Ok(None) };
        let name: StrDeserializer<'_, Refused> = key.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|mut refused| {
            if !keys_of_part.is_empty() {
                refused.problem = format!("{}, {}", refused.problem, keys_of_part.join(", "));
            }
            refused.at(key, &node.place)
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        if let Some(entries) = self.part.take() {
            return seed.deserialize(Part { entries, keys: &mut self.keys_of_part });
        }
        match self.value.take() {
            Some((key, node)) => seed.deserialize(Reader(node)).map_err(|refused| refused.at(key, &node.place)),
            None => Err(Refused::custom("a value without a key")),
        }
    }
}

/// A struct that has only some of the keys of a table.
struct Part<'a> {
    entries: &'a [(String, Node)],
    keys: &'a mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for Part<'_> {
    type Error = Refused;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        *self.keys = fields;
        let own: Vec<(String, Node)> =
            self.entries.iter().filter(|(key, _)| fields.contains(&key.as_str())).cloned().collect();
        visitor.visit_map(Entries::of(&own))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused::custom("only a struct can have its keys in the table of another"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
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
        let name: StrDeserializer<'_, Refused> = self.0.into_deserializer();
        name.variant_seed(seed)
    }
}
