//! The place of every key, and the differences between two settings. Values are kept as fingerprints,
//! because some are secrets.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use super::node::{Node, Place, Value, dotted};

/// All keys of some settings, each with its place and a fingerprint of its value. A key of `[upstream_defaults]` is
/// not repeated for each upstream.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<String, Key>);

#[derive(Clone, Debug)]
struct Key {
    place: Place,
    fingerprint: u64,
}

/// The hash function, randomly keyed in each process, so that a fingerprint reveals nothing about a value.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Keys {
    /// Collects the keys of this tree.
    pub(super) fn of(tree: &Node) -> Self {
        let mut keys = Self::default();
        keys.add(&mut Vec::new(), tree);
        keys
    }

    fn add<'a>(&mut self, path: &mut Vec<&'a str>, node: &'a Node) {
        for (key, below) in node.entries() {
            path.push(key);
            self.add(path, below);
            path.pop();
        }
        if node.entries().is_empty() {
            let mut hasher = FINGERPRINTS.build_hasher();
            hash(node, &mut hasher);
            let key = Key { place: node.place.clone(), fingerprint: hasher.finish() };
            self.0.insert(dotted(path.iter().copied()), key);
        }
    }

    /// Returns the place of this key. Where it is not set itself: of the table above it, of the key in
    /// `[upstream_defaults]`, or of another key of the section.
    pub(super) fn place(&self, path: &[&str]) -> Option<&Place> {
        let exact = (1..=path.len()).rev().find_map(|depth| self.0.get(&dotted(path[..depth].iter().copied())));
        let inherited = || match path {
            ["upstreams", _, key] => self.0.get(&dotted(["upstream_defaults", key])),
            _ => None,
        };
        let beside = || self.0.iter().find(|(key, _)| key.starts_with(path.first().copied().unwrap_or_default()));
        exact.or_else(inherited).or_else(|| beside().map(|(_, key)| key)).map(|key| &key.place)
    }

    /// Returns the keys whose values differ, and those that only one of the two has.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let value = |keys: &Self, name: &String| keys.0.get(name).map(|key| key.fingerprint);
        let all = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        all.filter(|name| value(self, name) != value(other, name)).cloned().collect()
    }
}

fn hash(node: &Node, into: &mut impl Hasher) {
    match &node.value {
        Value::Table(_) | Value::Date => {}
        Value::List(items) => items.iter().for_each(|item| {
            hash(item, into);
            // Separates the items, so that ["ab"] and ["a", "b"] differ.
            0xff_u8.hash(into);
        }),
        Value::Text(text) | Value::Variable(text) => text.hash(into),
        Value::Integer(number) => number.to_string().hash(into),
        Value::Float(number) => number.to_bits().hash(into),
        Value::Boolean(value) => value.to_string().hash(into),
    }
}
