//! Secrets in files: the content of the file named by `password_file` becomes the value of `password`. No
//! message repeats a secret.

use super::fault::{Fault, Remedy};
use super::node::{Node, Value};

/// The keys of secrets. Each has a twin that ends in `_file`.
pub(super) const SECRETS: [&str; 6] =
    ["password", "second_password", "admin_password", "admin_token", "database_url", "bucket_secret_key"];

/// Returns a substitute for this secret, which cannot be read, while other faults are looked for. It passes all checks
/// of the secret.
pub(super) fn stand_in(secret: &str) -> &'static str {
    match secret {
        "database_url" => "postgres://stands-for@one.that.cannot.be.read/database?sslmode=verify-full",
        _ => "stands for a secret that cannot be read",
    }
}

/// Reads the files named by the `..._file` keys of the sections `[bootstrap]` and `[fleet]`, of upstreams and of their
/// accounts. Returns their faults; a secret that cannot be read is set to a [substitute](stand_in).
pub(super) fn load_secret_files(root: &mut Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (section, node) in root.entries_mut().into_iter().flatten() {
        match section.as_str() {
            "bootstrap" | "fleet" => load_table(node, &[section], &mut faults),
            "upstreams" => {
                for (name, upstream) in node.entries_mut().into_iter().flatten() {
                    load_table(upstream, &[section, name], &mut faults);
                    let accounts = upstream.entries_mut().into_iter().flatten().find(|(key, _)| key == "accounts");
                    for (account, node) in accounts.and_then(|(_, node)| node.entries_mut()).into_iter().flatten() {
                        load_table(node, &[section, name, "accounts", account], &mut faults);
                    }
                }
            }
            _ => {}
        }
    }
    faults
}

/// Returns the key of the secret that belongs to this `..._file` key.
pub(super) fn secret_beside(path: &[String]) -> Option<Vec<String>> {
    let (twin, above) = path.split_last()?;
    let secret = twin.strip_suffix("_file")?;
    Some(above.iter().cloned().chain([secret.to_owned()]).collect())
}

fn load_table(table: &mut Node, path: &[&str], faults: &mut Vec<Fault>) {
    for secret in SECRETS {
        let twin = format!("{secret}_file");
        let Some(named) = table.child(&twin).cloned() else { continue };
        match secret_of(table, secret, &named) {
            Ok(None) => {}
            Ok(Some(value)) => set(table, secret, Node { place: named.place, value }),
            Err(problem) => {
                let value = Value::Text(stand_in(secret).to_owned());
                set(table, secret, Node { place: named.place.clone(), value });
                let path = path.iter().copied().chain([twin.as_str()]).map(str::to_owned).collect();
                faults.push(Fault { path, place: named.place, problem, remedy: Remedy::Default });
            }
        }
        table.entries_mut().into_iter().for_each(|entries| entries.retain(|(key, _)| *key != twin));
    }
}

/// Returns the secret in the file that this node names; `None` where it names none.
pub(super) fn secret_of(table: &Node, secret: &str, named: &Node) -> Result<Option<Value>, String> {
    let (Value::Text(file) | Value::Variable(file)) = &named.value else { return Err("is not a string".to_owned()) };
    if file.is_empty() {
        return Ok(None);
    }
    if let Some(given) = table.child(secret).filter(|given| !is_empty(given)) {
        return Err(format!("{secret} is given too ({}); give one of them", given.place));
    }
    read(file).map(Some)
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) | Value::Variable(text) if text.is_empty())
}

fn read(file: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|problem| format!("{file} cannot be read: {problem}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{file} is empty")),
        secret if secret.contains(['\r', '\n']) => Err(format!("{file} has more than one line; a secret is one line")),
        secret => Ok(Value::Text(secret.to_owned())),
    }
}

/// Sets this key of a table.
pub(super) fn set(table: &mut Node, key: &str, node: Node) {
    if let Some(entries) = table.entries_mut() {
        entries.retain(|(known, _)| known != key);
        entries.push((key.to_owned(), node));
    }
}
