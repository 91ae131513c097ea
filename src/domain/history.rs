//! The history of an image (OCI image specification, "Image Configuration", `history`): the commands that made its
//! layers.

use serde::Deserialize;

use super::json_object::Object;

#[derive(Deserialize)]
struct Configuration {
    history: Option<Vec<Object<Step>>>,
}

#[derive(Deserialize)]
struct Step {
    created_by: Option<String>,
    empty_layer: Option<bool>,
}

/// Beginnings that builders put before a command that a shell runs.
const SHELL: [&str; 2] = ["/bin/sh -c #(nop) ", "/bin/sh -c "];

/// Maximum length of a command, in characters. More is left out.
const MAX_CHARS: usize = 200;

/// Returns the commands that made a layer each, the lowest first; nothing if the bytes are no configuration.
pub fn commands(configuration: &[u8]) -> Vec<String> {
    let Ok(Object(read)) = serde_json::from_slice::<Object<Configuration>>(configuration) else { return Vec::new() };
    let steps = read.history.into_iter().flatten().map(|Object(step)| step);
    let made = steps.filter(|step| step.empty_layer != Some(true));
    made.map(|step| shown(&step.created_by.unwrap_or_default())).collect()
}

/// Returns a command on one line, without what every line has.
fn shown(command: &str) -> String {
    let command = SHELL.iter().find_map(|shell| command.strip_prefix(shell)).unwrap_or(command);
    let words: Vec<&str> = command.strip_suffix("# buildkit").unwrap_or(command).split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_layers_on_one_line_each() {
        let configuration = br#"{"history": [
            {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
            {"created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true},
            {"created_by": "RUN /bin/sh -c apk add\t  curl # buildkit", "empty_layer": false},
            {"comment": "no command"}
        ]}"#;
        assert_eq!(commands(configuration), ["ADD file:1 in /", "RUN /bin/sh -c apk add curl", ""]);
        assert_eq!(commands(b"[]"), Vec::<String>::new());
        let long = format!(r#"{{"history": [{{"created_by": "{}"}}]}}"#, "ü".repeat(300));
        assert_eq!(commands(long.as_bytes())[0].chars().count(), 201);
    }
}
