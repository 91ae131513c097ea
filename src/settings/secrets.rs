//! Secrets in files of their own: the value of `password_file` becomes that of `password`. Never repeats a secret.

use super::SettingsError;
use super::tree::{Node, Value, dotted};

const SECRETS: [&str; 3] = ["password", "admin_password", "admin_token"];

/// Reads the files that `..._file` keys of the bootstrap section, of upstreams and of their accounts name.
pub(super) fn bring_in_files(root: &mut Node) -> Result<(), SettingsError> {
    for (section, node) in root.entries_mut().into_iter().flatten() {
        match section.as_str() {
            "bootstrap" => bring_in(node, &[section])?,
            "upstreams" => {
                for (name, upstream) in node.entries_mut().into_iter().flatten() {
                    bring_in(upstream, &[section, name])?;
                    let accounts = upstream.entries_mut().into_iter().flatten().find(|(key, _)| key == "accounts");
                    for (account, node) in accounts.and_then(|(_, node)| node.entries_mut()).into_iter().flatten() {
                        bring_in(node, &[section, name, "accounts", account])?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn bring_in(table: &mut Node, path: &[&str]) -> Result<(), SettingsError> {
    for secret in SECRETS {
        let twin = format!("{secret}_file");
        let Some(named) = table.child(&twin).cloned() else { continue };
        let refused = |problem: String| SettingsError::Refused {
            place: named.place.clone(),
            key: dotted(path.iter().copied().chain([twin.as_str()])),
            problem,
        };
        let (Value::Text(file) | Value::Variable(file)) = &named.value else {
            return Err(refused("is not a string".to_owned()));
        };
        if !file.is_empty() {
            if let Some(given) = table.child(secret).filter(|given| !is_empty(given)) {
                return Err(refused(format!("{secret} is given too ({}); give one of them", given.place)));
            }
            let value = read(file).map_err(refused)?;
            set(table, secret, Node { place: named.place.clone(), value });
        }
        table.entries_mut().into_iter().for_each(|entries| entries.retain(|(key, _)| *key != twin));
    }
    Ok(())
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) | Value::Variable(text) if text.is_empty())
}

fn read(file: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|problem| format!("{file} cannot be read: {problem}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{file} is empty")),
        secret => Ok(Value::Text(secret.to_owned())),
    }
}

fn set(table: &mut Node, key: &str, node: Node) {
    if let Some(entries) = table.entries_mut() {
        entries.retain(|(known, _)| known != key);
        entries.push((key.to_owned(), node));
    }
}
