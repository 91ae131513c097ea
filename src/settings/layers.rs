//! The layers of the settings: a file and environment variables, which override values of the tree below them. The
//! known keys and their types are defined elsewhere.

use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::node::{Node, Place, Value};

/// Prefix of all environment variables that name a setting.
pub(super) const VARIABLE_PREFIX: &str = "DEPENDENCY_PROXY__";
/// Prefix of variables that may be misspelt settings, see [`Node::refuse_misspelt`].
const ONE_UNDERSCORE: &str = "DEPENDENCY_PROXY_";

/// Parses a TOML text; `file` is its name in messages. Fails with all syntax errors.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Vec<SettingsError>> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let lines = Lines { file: file.into(), ends };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.table(table.get_ref(), lines.place(0..0)));
    }
    let syntax = |error: &toml::de::Error| SettingsError::Syntax {
        place: lines.place(error.span().unwrap_or(0..0)),
        problem: error.message().to_owned(),
    };
    Err(errors.iter().map(syntax).collect())
}

struct Lines {
    file: Arc<str>,
    /// The positions of the ends of lines, in their order.
    ends: Vec<usize>,
}

impl Lines {
    fn place(&self, span: Range<usize>) -> Place {
        let line = 1 + self.ends.partition_point(|end| *end < span.start);
        Place::File { file: self.file.clone(), line }
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Node {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), self.node(value.get_ref(), self.place(key.span())))
        };
        Node { place, value: Value::Table(entries.into_iter().map(entry).collect()) }
    }

    fn node(&self, value: &DeValue<'_>, place: Place) -> Node {
        let value = match value {
            DeValue::Table(table) => return self.table(table, place),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item.get_ref(), self.place(item.span()))).collect())
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(f64::INFINITY),
            },
            DeValue::Float(digits) => Value::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Date,
        };
        Node { place, value }
    }
}

impl Node {
    /// Overrides this tree with `over`: merges tables key by key, and replaces any other value.
    pub(super) fn overlay(&mut self, over: Self) {
        self.place = over.place;
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, node) in above {
                    match below.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, known)) => known.overlay(node),
                        None => below.push((key, node)),
                    }
                }
            }
            (value, above) => *value = above,
        }
    }

    /// Sets the key that this environment variable names, where `_` also stands for `.`, `-` and `:` of a key.
    /// Fails where the name fits no key or several, and where the text is not UTF-8.
    pub(super) fn set_variable(&mut self, variable: &str, text: OsString) -> Result<(), SettingsError> {
        let place = Place::Variable(variable.into());
        let Ok(text) = text.into_string() else {
            return Err(SettingsError::Variable { place, problem: "is not UTF-8".to_owned() });
        };
        let rest = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or(variable);
        let node = Node { place: place.clone(), value: Value::Variable(text) };
        self.set(rest, node).map_err(|problem| SettingsError::Variable { place, problem: problem.to_owned() })
    }

    /// Refuses a variable that would name a setting if its underscores were doubled: it would have no effect. Other
    /// variables with this prefix have other uses, such as those that Kubernetes sets for a service of this name.
    pub(super) fn refuse_misspelt(&self, variable: &str) -> Result<(), SettingsError> {
        let meant = variable.strip_prefix(ONE_UNDERSCORE).and_then(|rest| {
            let sections = self.entries().iter();
            let settings =
                sections.flat_map(|(section, node)| node.entries().iter().map(move |(key, _)| (section, key)));
            settings.map(|(section, key)| (variable_name(section), variable_name(key))).find(|(section, key)| {
                rest.trim_start_matches('_')
                    .strip_prefix(section.as_str())
                    .is_some_and(|below| below.trim_start_matches('_') == key)
            })
        });
        let Some((section, key)) = meant else { return Ok(()) };
        let problem = format!("is not read; use {VARIABLE_PREFIX}{section}__{key}");
        Err(SettingsError::Variable { place: Place::Variable(variable.into()), problem })
    }

    fn set(&mut self, rest: &str, node: Node) -> Result<(), &'static str> {
        let Value::Table(entries) = &mut self.value else { return Err("names no setting") };
        let fits = |key: &str| -> Option<Option<usize>> {
            let name = variable_name(key);
            let below = rest.strip_prefix(name.as_str())?;
            if below.is_empty() { Some(None) } else { below.strip_prefix("__").map(|_| Some(name.len() + 2)) }
        };
        let mut found = entries.iter_mut().filter_map(|(key, known)| fits(key).map(|skip| (known, skip)));
        let (first, second) = (found.next(), found.next());
        match first {
            Some(_) if second.is_some() => Err("could mean several settings; set them in the file"),
            Some((known, Some(skip))) => known.set(&rest[skip..], node),
            Some((Node { value: Value::Table(_), .. }, None)) => Err("names a section, not a setting"),
            Some((known, None)) => {
                *known = node;
                Ok(())
            }
            None if rest.contains("__") || rest.is_empty() => {
                Err("names no known section (upstreams and accounts are added in the file)")
            }
            None => {
                // Kept as an unknown key, which the deserializer refuses with a list of the known ones.
                entries.push((rest.to_ascii_lowercase(), node));
                Ok(())
            }
        }
    }
}

fn variable_name(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' | '-' | ':' => '_',
            other => other.to_ascii_uppercase(),
        })
        .collect()
}
