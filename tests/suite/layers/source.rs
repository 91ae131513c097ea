//! Source files as the rules of the layers see them: code without comments, strings and tests.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(super) struct Source {
    /// Path, relative to the folder that contains `src`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Returns all source files below a folder, sorted, without test modules.
pub(super) fn sources(folder: &Path) -> Vec<Source> {
    let above = folder.parent().unwrap();
    let mut paths = Vec::new();
    walk(folder, &mut paths);
    paths.sort();
    let texts: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    let for_tests: HashSet<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_product = |path: &Path| !path.ancestors().any(|part| for_tests.contains(&part.with_extension("")));
    let product = texts.into_iter().filter(|(path, _)| is_product(path));
    product.map(|(path, text)| Source { path: path.strip_prefix(above).unwrap().display().to_string(), text }).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Returns the test modules that a file declares, as paths without a file extension.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap();
    let folder =
        if stem == "mod" || stem == "lib" { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let marked = (0..lines.len()).filter(|at| lines[*at] == "#[cfg(test)]");
    // Other attributes may stand between.
    let declared = marked.filter_map(|at| lines[at..].iter().find(|line| !line.starts_with("#[")));
    let names = declared.filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name));
    names.map(|name| folder.join(name)).collect()
}

impl Source {
    /// Returns the module: the names on the way to it from the crate root.
    pub(super) fn module(&self) -> Vec<String> {
        let path = self.below_src().trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
    }

    /// Returns the layer: the first name below `src`.
    pub(super) fn layer(&self) -> &str {
        self.below_src().split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Returns true if the file is this one below `src`, or in this folder (`/` at its end) or the front page of it, or
    /// either (no extension).
    pub(super) fn is_in(&self, place: &str) -> bool {
        let front_page = place.strip_suffix('/').map(|folder| format!("{folder}.rs"));
        self.below_src().starts_with(place) || front_page.is_some_and(|page| self.below_src() == page)
    }

    /// Returns a sentence for each thing that `wrong` finds in a line.
    pub(super) fn report(&self, wrong: impl Fn(&str) -> Vec<String>, layer: &str) -> Vec<String> {
        let lines = self.code();
        let found = lines.iter().flat_map(|(number, line)| wrong(line).into_iter().map(move |name| (number, name)));
        found.map(|(number, name)| format!("{}:{number}: {name} is not for the layer '{layer}'", self.path)).collect()
    }

    /// Returns the names that follow `crate::` in a line, or a chain of `super::` that leads to the crate root.
    pub(super) fn layers_named(&self, line: &str) -> Vec<String> {
        let root = "super::".repeat(self.depth());
        let starts = ["crate::", "dependency_proxy::", root.as_str()];
        starts
            .iter()
            .flat_map(|start| line.match_indices(start).flat_map(|(at, _)| first_names(&line[at + start.len()..])))
            .collect()
    }

    fn below_src(&self) -> &str {
        self.path.split_once('/').unwrap().1
    }

    /// Returns the depth of the module.
    fn depth(&self) -> usize {
        self.below_src().trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
    }

    /// Returns the lines of code with their numbers, without items for tests. A `use` over several lines is joined to
    /// its first.
    pub(super) fn code(&self) -> Vec<(usize, String)> {
        let mut lines: Vec<(usize, String)> = Vec::new();
        let (mut open, mut for_tests) = (false, false);
        for (number, line) in self.text.lines().enumerate() {
            for_tests |= line == "#[cfg(test)]";
            if for_tests {
                let ends = line == "}" || line.ends_with("{}") || line.ends_with(';');
                for_tests = line.starts_with([' ', '#']) || !ends;
                continue;
            }
            let code = without_strings_and_comments(line);
            match lines.last_mut() {
                Some((_, last)) if open => last.push_str(code.trim()),
                _ => lines.push((number + 1, code.clone())),
            }
            let item = code.trim_start();
            let starts = item.starts_with("use ") || (item.starts_with("pub") && item.contains(" use "));
            open = (open || starts) && !code.contains(';');
        }
        lines
    }
}

/// Returns the first names of a path: a for `a::b`, a and c for `{a::b, c::{d, e}}`.
fn first_names(path: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// Returns true where a line contains this name, and not as a part of a longer one.
pub(super) fn names(line: &str, name: &str) -> bool {
    let part_of_name = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + name.len()..].chars().next());
        !before.is_some_and(part_of_name) && (name.ends_with('<') || !after.is_some_and(part_of_name))
    })
}

fn without_strings_and_comments(line: &str) -> String {
    let (mut out, mut in_string, mut chars) = (String::new(), false, line.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => drop(chars.next()),
            // A quotation mark in apostrophes is a char, and begins no string.
            '\'' if !in_string && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            char if !in_string => out.push(char),
            _ => {}
        }
    }
    out
}
