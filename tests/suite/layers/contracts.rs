//! The contracts of the stores: each operation that waits has a row in the table of its store.

use std::path::Path;

/// Each store, the file with its contract, and the folder with further operations.
const STORES: [(&str, &str, Option<&str>); 2] = [
    ("ContentStore", "src/store/content.rs", Some("src/store/content")),
    ("IdentityStore", "src/store/identities.rs", None),
];

#[test]
fn each_operation_of_a_store_has_a_row_in_its_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (store, file, folder) in STORES {
        let contract = std::fs::read_to_string(root.join(file)).unwrap();
        let further = folder.map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
        let further =
            further.into_iter().flatten().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let mut operations = 0;
        for text in further.chain([contract.clone()]) {
            for operation in operations_of(store, &text) {
                assert!(contract.contains(&format!("({store}::{operation})")), "{store}::{operation} has no row");
                operations += 1;
            }
        }
        assert!(operations > 5, "{store} has {operations} operations");
    }
}

/// Returns the names of the public functions of this type in this text that wait.
fn operations_of<'a>(store: &str, text: &'a str) -> Vec<&'a str> {
    let start = format!("\nimpl {store} {{");
    let bodies = text.split(start.as_str()).skip(1).map(|rest| rest.split("\n}\n").next().unwrap());
    let names = bodies.flat_map(|body| body.split("\n    pub async fn ").skip(1));
    names.map(|name| name.split(['(', '<']).next().unwrap()).collect()
}
