//! The settings of a backup as a file: TOML text that [`Settings::load`](super::Settings::load) accepts once the
//! secrets that the backup lacks are entered.

use std::fmt::Write;

use secrecy::{ExposeSecret, SecretString};

use super::node::dotted;
use super::toml_text::{key_text, quoted, toml};
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};

/// The settings of a backup, written as a file.
pub struct RestoredSettings {
    /// The TOML text.
    pub text: SecretString,
    /// True if the text contains secrets.
    pub has_secrets: bool,
    /// The secrets that must be entered again, each a key, with the file that the settings name for it, if any.
    pub to_enter: Vec<String>,
    /// Certificates and keys that the settings name and no backup contains, each a key with its file.
    pub files: Vec<String>,
}

/// Keys of files that no backup contains.
const FILES: [&str; 5] = ["tls_certificate", "tls_key", "ca_file", "database_ca_file", "secret_file"];

/// Writes the settings as TOML, table by table, after a comment.
pub fn restored(settings: &[ChosenSetting], comment: &str) -> RestoredSettings {
    let mut writer = Writer::default();
    settings.iter().for_each(|setting| writer.add(setting));
    // Keys without a table come first.
    writer.tables.sort_by_key(|(table, _)| !table.is_empty());
    let mut text: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    for (table, lines) in writer.tables {
        if !table.is_empty() {
            let table: Vec<String> = table.iter().map(|key| key_text(key)).collect();
            push_line(&mut text, &format!("\n[{}]", table.join(".")));
        }
        text.push_str(&lines);
    }
    let Writer { has_secrets, to_enter, files, .. } = writer;
    RestoredSettings { text: text.into(), has_secrets, to_enter, files }
}

#[derive(Default)]
struct Writer<'a> {
    /// The lines of each table, in the order of the settings.
    tables: Vec<(&'a [String], String)>,
    has_secrets: bool,
    to_enter: Vec<String>,
    files: Vec<String>,
}

impl<'a> Writer<'a> {
    fn add(&mut self, setting: &'a ChosenSetting) {
        let Some((name, table)) = setting.key.split_last() else { return };
        let line = self.line(name, setting);
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, lines)) => push_line(lines, &line),
            None => self.tables.push((table, line + "\n")),
        }
    }

    /// Returns the line of a setting, and notes what it lacks.
    fn line(&mut self, name: &str, setting: &ChosenSetting) -> String {
        let path = || dotted(setting.key.iter().map(String::as_str));
        match &setting.value {
            ChosenValue::Plain(value) => {
                if let (true, Some(file)) = (FILES.contains(&name), value.as_str()) {
                    self.files.push(format!("{}: {file}", path()));
                }
                format!("{} = {}", key_text(name), toml(value))
            }
            ChosenValue::Secret { secret: Some(secret), .. } => {
                self.has_secrets = true;
                format!("{} = {}", key_text(name), quoted(secret.expose_secret()))
            }
            ChosenValue::Secret { secret: None, file: Some(file) } => {
                self.to_enter.push(format!("{}, in the file {file}", path()));
                format!("{} = {}", key_text(&format!("{name}_file")), quoted(file))
            }
            ChosenValue::Secret { secret: None, file: None } => {
                self.to_enter.push(path());
                format!("# {name} is not in the backup: enter it, or name its file with {name}_file")
            }
        }
    }
}

fn push_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
