//! Places of all keys, and differences between two settings: values are kept as fingerprints, because some are secrets.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use super::tree::{Node, Place, Value, dotted};

/// All keys of some settings, those of `[upstream_defaults]` not repeated for each upstream. Holds no value.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<String, Key>);

#[derive(Clone, Debug)]
struct Key {
    place: Place,
    fingerprint: u64,
}

/// Another one in each process, so that a fingerprint tells nothing about a value.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Keys {
    /// Those of this tree.
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

    /// The place of this key, or of the nearest one above it.
    pub(super) fn place(&self, path: &[&str]) -> Option<&Place> {
        let exact = (1..=path.len()).rev().find_map(|depth| self.0.get(&dotted(path[..depth].iter().copied())));
        let inherited = || match path {
            ["upstreams", _, key] => self.0.get(&dotted(["upstream_defaults", key])),
            _ => None,
        };
        let beside = || self.0.iter().find(|(key, _)| key.starts_with(path.first().copied().unwrap_or_default()));
        exact.or_else(inherited).or_else(|| beside().map(|(_, key)| key)).map(|key| &key.place)
    }

    /// The keys whose values differ, or that only one of both has.
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
            0xff_u8.hash(into);
        }),
        Value::Text(text) | Value::Variable(text) => text.hash(into),
        Value::Integer(number) => number.to_string().hash(into),
        Value::Float(number) => number.to_bits().hash(into),
        Value::Boolean(value) => value.to_string().hash(into),
    }
}
