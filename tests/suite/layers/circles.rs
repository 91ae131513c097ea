//! Circles of imports between sibling modules.
//!
//! Every path in the code is followed to the module that it names: through the `use` declarations of the modules around
//! it, so that a `pub use` of a parent counts as the module behind it. A path from one child of a module to another
//! child, however deep both ends are, is an import among siblings; a path to an ancestor or to a descendant is none.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A module: the names on the way to it from the crate root.
type Module = Vec<String>;

/// An import of one sibling by another: the parent, the sibling that imports, the sibling that is imported.
type Import = (Module, String, String);

/// Returns a sentence for each circle: the siblings, and for each import between them a place in the code.
pub(super) fn circles(sources: &[Source]) -> Vec<String> {
    let crate_map = CrateMap::new(sources);
    let mut imports: BTreeMap<Import, Vec<String>> = BTreeMap::new();
    for source in sources {
        let from = source.module();
        for (path, line) in crate_map.paths_of(&from) {
            let Some(to) = crate_map.module_of(&from, (&from, path), &mut BTreeSet::new()) else { continue };
            let shared = from.iter().zip(&to).take_while(|(here, there)| here == there).count();
            if let (Some(importer), Some(imported)) = (from.get(shared), to.get(shared)) {
                let import = (from[..shared].to_vec(), importer.clone(), imported.clone());
                let places = imports.entry(import).or_default();
                places.push(format!("{}:{line}: {} ({})", source.path, path.join("::"), to.join("::")));
            }
        }
    }
    let parents: BTreeSet<&Module> = imports.keys().map(|(parent, ..)| parent).collect();
    parents.into_iter().flat_map(|parent| circles_among(parent, &imports)).collect()
}

fn circles_among(parent: &Module, imports: &BTreeMap<Import, Vec<String>>) -> Vec<String> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, importer, imported) in imports.keys().filter(|(of, ..)| of == parent) {
        graph.entry(importer).or_default().insert(imported);
    }
    let circles: BTreeSet<BTreeSet<&str>> = graph.keys().map(|name| circle_of(name, &graph)).collect();
    let report = |circle: BTreeSet<&str>| {
        let inside = |(of, importer, imported): &Import| {
            of == parent && circle.contains(importer.as_str()) && circle.contains(imported.as_str())
        };
        let places = imports.iter().filter(|(import, _)| inside(import)).flat_map(|(_, places)| places);
        let places: Vec<&str> = places.map(String::as_str).collect();
        let names: Vec<&str> = circle.iter().copied().collect();
        format!("{} in '{}' import each other:\n    {}", names.join(", "), parent.join("::"), places.join("\n    "))
    };
    circles.into_iter().filter(|circle| circle.len() > 1).map(report).collect()
}

/// Returns the siblings that a module reaches and that reach it, which include itself.
fn circle_of<'a>(name: &'a str, graph: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let reached = reachable(name, graph);
    let mut circle: BTreeSet<&str> =
        reached.into_iter().filter(|other| reachable(other, graph).contains(name)).collect();
    circle.insert(name);
    circle
}

fn reachable<'a>(name: &'a str, graph: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![name]);
    while let Some(name) = next.pop() {
        next.extend(graph.get(name).into_iter().flatten().filter(|other| found.insert(**other)));
    }
    found
}

/// The names that were followed on the way of a path.
type Seen = BTreeSet<(Module, String)>;

/// The modules of the crate with the paths that their code contains.
struct CrateMap(BTreeMap<Module, Contents>);

#[derive(Default)]
struct Contents {
    /// Names that `use` declarations bring into scope, each with its path.
    names: Vec<(String, Vec<String>)>,
    /// All paths, those of `use` declarations too, with their lines.
    paths: Vec<(Vec<String>, usize)>,
    /// Every identifier that follows the keyword of an item.
    items: BTreeSet<String>,
}

impl CrateMap {
    fn new(sources: &[Source]) -> Self {
        Self(sources.iter().map(|source| (source.module(), Contents::of(source))).collect())
    }

    fn paths_of(&self, module: &Module) -> &[(Vec<String>, usize)] {
        &self.0[module].paths
    }

    /// Returns the module that a path in the module `at` leads `from` another one, which is `at` or below it; none for
    /// another crate and for local names.
    fn module_of(&self, from: &Module, (at, path): (&Module, &[String]), seen: &mut Seen) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut to = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => at.split_last()?.1.to_vec(),
            name => self.step(from, (at, name), seen)?,
        };
        for name in rest {
            to = match name.as_str() {
                "super" => to.split_last()?.1.to_vec(),
                "self" | "*" => to,
                name => match self.step(from, (&to, name), seen) {
                    Some(next) => next,
                    // An item of this module, or of a type in it.
                    None => return Some(to),
                },
            };
        }
        Some(to)
    }

    /// Returns the module that a name in the module `at` stands for. Names that `use` declarations bring into scope are
    /// followed in the modules around `from` alone: what another module passes on is imported from that module.
    fn step(&self, from: &Module, (at, name): (&Module, &str), seen: &mut Seen) -> Option<Module> {
        let child = [at.as_slice(), &[name.to_owned()]].concat();
        if self.0.contains_key(&child) {
            return Some(child);
        }
        if !from.starts_with(at) || !seen.insert((at.clone(), name.to_owned())) {
            return None;
        }
        let contents = self.0.get(at)?;
        if let Some((_, path)) = contents.names.iter().find(|(local, _)| local == name) {
            return self.module_of(from, (at, path), seen);
        }
        let globs = contents.names.iter().filter(|(local, _)| local == "*");
        globs.map(|(_, path)| path).find_map(|path| {
            let module = self.module_of(from, (at, path), seen)?;
            let defines = self.0.get(&module).is_some_and(|contents| contents.items.contains(name));
            if defines { Some(module) } else { self.step(from, (&module, name), seen) }
        })
    }
}

impl Contents {
    fn of(source: &Source) -> Self {
        const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];
        let tokens = tokens(source);
        let (mut contents, mut at) = (Self::default(), 0);
        while let Some((token, line)) = tokens.get(at) {
            let after = |offset: usize| tokens.get(at + offset).map_or("", |(token, _)| token.as_str());
            if token == "use" && (is_name(after(1)) || after(1) == "::") {
                at = contents.read_use(&tokens, at + 1, &mut Vec::new());
                continue;
            }
            if ITEMS.contains(&token.as_str()) && is_name(after(1)) {
                contents.items.insert(after(1).to_owned());
            }
            let mut path = Vec::new();
            if is_name(token) && after(1) == "::" {
                path.push(token.clone());
                while after(2 * path.len() - 1) == "::" && is_name(after(2 * path.len())) {
                    path.push(after(2 * path.len()).to_owned());
                }
            }
            at += (2 * path.len()).max(2) - 1;
            if !path.is_empty() {
                contents.paths.push((path, *line));
            }
        }
        contents
    }

    /// Reads the tree of a `use` declaration below a path, and returns the place behind it.
    fn read_use(&mut self, tokens: &[(String, usize)], mut at: usize, above: &mut Vec<String>) -> usize {
        let depth = above.len();
        let mut alias = None;
        while let Some((token, line)) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "::" => {}
                "{" => {
                    loop {
                        at = self.read_use(tokens, at, above);
                        if tokens[at - 1].0 != "," {
                            break;
                        }
                    }
                    above.truncate(depth);
                    // The end of this branch.
                    return at + 1;
                }
                "as" => {
                    alias = Some(tokens[at].0.clone());
                    at += 1;
                }
                "," | "}" | ";" => {
                    if above.len() > depth {
                        let last = above.iter().rev().find(|name| *name != "self").cloned();
                        self.names.push((alias.or(last).unwrap_or_default(), above.clone()));
                        self.paths.push((above.clone(), *line));
                    }
                    break;
                }
                name => above.push(name.to_owned()),
            }
        }
        above.truncate(depth);
        at
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|char: char| char.is_alphabetic() || char == '_')
}

/// Returns identifiers, `::` and single signs, with their lines.
fn tokens(source: &Source) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    for (number, line) in source.code() {
        let mut rest = line.as_str();
        while let Some(char) = rest.chars().next() {
            let part_of_name = |char: char| char.is_alphanumeric() || char == '_';
            let name = rest.find(|char| !part_of_name(char)).unwrap_or(rest.len());
            let length = match name {
                0 if rest.starts_with("::") => 2,
                0 => char.len_utf8(),
                name => name,
            };
            if !char.is_whitespace() {
                tokens.push((rest[..length].to_owned(), number));
            }
            rest = &rest[length..];
        }
    }
    tokens
}
