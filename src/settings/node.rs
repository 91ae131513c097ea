//! Settings as written: a tree of keys and values, each with the place that set it.

use std::fmt;
use std::sync::Arc;

/// A value and the place that set it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// The value of a key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A table, with its keys in the order of the file.
    Table(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date,
    /// The text of an environment variable, which is parsed as the type of its key.
    Variable(String),
}

/// The place that set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file.
    File {
        /// The path of the file, as the operator gave it.
        file: Arc<str>,
        /// The line of the key, counted from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Variable(Arc<str>),
}

impl Node {
    /// Returns the node at this path.
    pub(super) fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |node, key| node.child(key))
    }

    /// Returns the value of this key of this table.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// Returns the value of this key of this table, to be changed.
    pub(super) fn child_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.entries_mut()?.iter_mut().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// Removes the item with this index from a list, also from one in a variable. Returns true if there was one.
    pub(super) fn remove_item(&mut self, index: usize) -> bool {
        match &mut self.value {
            Value::List(items) if index < items.len() => {
                items.remove(index);
                true
            }
            Value::Variable(text) => {
                let mut items: Vec<&str> = list_items(text).collect();
                let is_there = index < items.len();
                if is_there {
                    items.remove(index);
                    *text = items.join(",");
                }
                is_there
            }
            Value::List(_)
            | Value::Table(_)
            | Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Date => false,
        }
    }

    /// Returns the entries of this table; an empty slice for any other value.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// Returns the entries of this table, to be changed; `None` for any other value.
    pub(super) fn entries_mut(&mut self) -> Option<&mut Vec<(String, Self)>> {
        if let Value::Table(entries) = &mut self.value { Some(entries) } else { None }
    }
}

/// Returns the items of a list in a variable, which are separated by commas.
pub(super) fn list_items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// Formats a path as a dotted key of TOML, with quotes where a key needs them.
pub(super) fn dotted<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let bare = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let part = |key: &str| if bare(key) { key.to_owned() } else { format!("{key:?}") };
    path.into_iter().map(part).collect::<Vec<_>>().join(".")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file}, line {line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}
