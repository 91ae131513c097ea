//! The README, as a new user follows it: its commands are run in their order, against a service at its first start.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fake_registry::{FakeRegistry, Image, Layer, Listener};

use crate::documents::{API, FILES, MOVING, OPERATING};

const README: &str = include_str!("../../README.md");
const ALERTS: &str = include_str!("../../config/monitoring/alerts.yml");
const BINARY: &str = env!("CARGO_BIN_EXE_dependency-proxy");

/// Blocks with these commands build or test the service, and are not run.
const BUILDS: [&str; 3] = ["cargo ", "tests/run", "config/package/"];

/// A service in a folder that looks like a checkout with a built binary.
struct FirstStart {
    folder: tempfile::TempDir,
    hub: FakeRegistry,
    child: Child,
    url: String,
}

impl FirstStart {
    fn new() -> Self {
        let hub = FakeRegistry::start();
        hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(10_000, 1)]));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("target/release")).unwrap();
        symlink(BINARY, folder.path().join("target/release/dependency-proxy")).unwrap();
        let (realm, storage) = (hub.host(Listener::Realm), hub.host(Listener::Storage));
        let settings = format!(
            "[upstreams.\"docker.io\"]\nurl = \"{}\"\nauth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{storage}\"]\n\
             [server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"\"\n[storage]\nmin_free = 0\n",
            hub.url()
        );
        fs::write(folder.path().join("settings.toml"), settings).unwrap();
        let mut child = Command::new(BINARY)
            .args(["serve", "--config", "settings.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let login = lines.into_iter().find(|line| line.contains("docker login")).unwrap();
        let address = login.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).unwrap();
        Self { url: format!("http://{address}"), folder, hub, child }
    }

    /// Runs these lines of the README in a shell.
    fn run(&self, lines: &str) -> Output {
        let lines = lines.replace("--duration 10s", "--duration 1s");
        let lines = lines.replace("https://registry-1.docker.io", &self.hub.url());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &lines]).current_dir(self.folder.path());
        command.env("DEPENDENCY_PROXY_URL", &self.url).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for FirstStart {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Returns the code blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begins = format!("```{language}\n");
    README.split(&begins).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[actix_rt::test]
async fn its_commands_work_in_their_order() {
    let service = FirstStart::new();
    let mut exported = String::new();
    let mut ran = 0;
    for block in blocks("sh").into_iter().filter(|block| !BUILDS.iter().any(|build| block.contains(build))) {
        let output = service.run(&format!("{exported}{block}"));
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{block}\n{said}");
        // A user continues in the same shell.
        let stays = |line: &&str| line.starts_with("export ") || line.starts_with("PATH=");
        exported.extend(block.lines().filter(stays).map(|line| format!("{line}\n")));
        ran += 1;
    }
    assert!(ran >= 3, "{ran} blocks");
}

#[test]
fn the_files_that_it_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let files: Vec<_> = links.filter(|link| !link.starts_with("http") && !link.starts_with('#')).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(root.join(file).exists(), "{file}");
    }
    for block in blocks("sh") {
        for word in block.split_whitespace().filter(|word| word.starts_with("config/") || word.starts_with("tests/")) {
            assert!(root.join(word).exists(), "{word}");
        }
    }
}

#[test]
fn the_verbs_and_options_that_its_sentences_name_exist() {
    let texts = [README, OPERATING, MOVING, FILES, API, ALERTS].concat();
    let commands: Vec<String> = texts
        .split(['`', '\n'])
        .filter(|code| code.starts_with("dependency-proxy "))
        .map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let help = [3, 2, 1].into_iter().find_map(|verbs| help(words.get(..verbs)?));
        let help = help.unwrap_or_else(|| panic!("no such verb: {command}"));
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{option} of {command}");
        }
    }
}

/// Returns the `--help` text of a subcommand; `None` where these words are none.
fn help(verbs: &[&str]) -> Option<String> {
    let is_word =
        |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-');
    if !verbs.iter().all(is_word) {
        return None;
    }
    let output = Command::new(BINARY).args(verbs).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
