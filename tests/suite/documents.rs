//! The documents in `docs/`: their code blocks, and a shell that runs these beside a service.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::service::{ADMIN_TOKEN, Service};

pub const API: &str = include_str!("../../docs/api.md");
pub const OPERATING: &str = include_str!("../../docs/operating.md");
pub const FILES: &str = include_str!("../../docs/files.md");
pub const MOVING: &str = include_str!("../../docs/moving.md");

/// The settings file that the documents name.
const SETTINGS: &str = "/etc/dependency-proxy/config.toml";

/// Returns the blocks of a section in this language, in their order.
pub fn blocks(document: &'static str, title: &str, language: &str) -> Vec<&'static str> {
    let (_, section) = document.split_once(&format!("\n## {title}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Runs commands in the folder that has `data/` and `config.toml`. Fails unless they succeed.
pub fn run(service: &Service, commands: &str) -> Output {
    let folder = Path::new(env!("CARGO_BIN_EXE_dependency-proxy")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", commands])
        .current_dir(service.data().parent().unwrap())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{commands}: {output:?}");
    output
}

/// Runs commands as an administrator of the service, with its settings.
pub fn run_as_administrator(service: &Service, commands: &str) -> Output {
    let commands = commands.replace(SETTINGS, service.config().to_str().unwrap());
    let of_service = format!("DEPENDENCY_PROXY_URL={} DEPENDENCY_PROXY_TOKEN={ADMIN_TOKEN}", service.url());
    run(service, &format!("export {of_service}\n{commands}"))
}

/// Returns the standard output of a command.
pub fn said(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}
