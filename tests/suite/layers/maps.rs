//! Maps: the front page of a folder with many modules names each of them.

use std::path::Path;

use super::source::{Source, sources};

/// Maximum number of modules that a reader finds without a map.
const MAX_MODULES_WITHOUT_MAP: usize = 8;

#[test]
fn the_front_page_of_a_folder_with_many_modules_names_each_of_them() {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let maps: Vec<(&Source, Vec<String>)> = all.iter().map(|source| (source, modules(source))).collect();
    let large = || maps.iter().filter(|(_, modules)| modules.len() > MAX_MODULES_WITHOUT_MAP);
    assert!(large().count() > 10);
    let unnamed = large().flat_map(|(source, modules)| modules.iter().filter(|name| !is_named(source, name)));
    assert_eq!(unnamed.collect::<Vec<_>>(), [""; 0]);
}

/// Returns the modules that a file declares, without those for tests, as paths.
fn modules(source: &Source) -> Vec<String> {
    let (mut names, mut for_tests) = (Vec::new(), false);
    for (_, line) in source.code() {
        for_tests |= line.starts_with("#[cfg(any(test, ");
        let declared = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        if let Some((visibility, name)) = declared
            && (visibility.is_empty() || visibility.starts_with("pub"))
            && !for_tests
        {
            names.push(name.to_owned());
        }
        for_tests &= line.starts_with('#');
    }
    names.iter().map(|name| format!("{}/{name}", source.path.trim_end_matches(".rs"))).collect()
}

/// Returns true if the front page has a link to the module.
fn is_named(source: &Source, module: &str) -> bool {
    let name = module.rsplit('/').next().unwrap();
    let links = [format!("[`{name}`]"), format!("[`mod@{name}`]"), format!("]({name})")];
    let head = || source.text.lines().take_while(|line| line.starts_with("//!"));
    head().any(|line| links.iter().any(|link| line.contains(link)))
}
