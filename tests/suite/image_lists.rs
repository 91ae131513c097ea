//! The commands of `docs/operating.md` that list the images of other registries and caches, word for word, against
//! Debian's `docker-registry` and small servers with the APIs of GitLab and Harbor.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::real_clients::DebianRegistry;

const OPERATING: &str = include_str!("../../docs/operating.md");

/// Returns the block of shell commands with this text.
fn block(text: &str) -> &'static str {
    let blocks = OPERATING.split("```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let found: Vec<&str> = blocks.filter(|block| block.contains(text)).collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0]
}

/// Runs commands in a shell, with this address in place of another one, and returns the lines of their output.
fn run(commands: &str, example: &str, real: &str, home: &Path) -> Vec<String> {
    assert!(commands.contains(example), "{commands}");
    let commands = commands.replace(example, real);
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &commands]).env("HOME", home).env("GITLAB_TOKEN", "glpat-of-a-test");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A request that a small server has received.
#[derive(Clone)]
struct Received {
    /// Method, path and query.
    line: String,
    authorization: String,
    body: String,
}

/// Starts a server that responds with JSON, each to one connection. Returns its address and what it receives.
fn serve(respond: impl Fn(&Received) -> Option<Value> + Send + 'static) -> (String, Arc<Mutex<Vec<Received>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, received) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let all = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream);
            let request = read(&mut lines);
            let (status, body) = match respond(&request) {
                Some(body) => ("200 OK", body.to_string()),
                None => ("404 Not Found", json!({"errors": []}).to_string()),
            };
            all.lock().unwrap().push(request);
            let mut response = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
            write!(response, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
            (&stream).write_all(response.as_bytes()).unwrap();
        }
    });
    (format!("http://{address}"), received)
}

fn read(lines: &mut impl BufRead) -> Received {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let mut fields = head.iter().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value).to_owned()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    lines.read_exact(&mut body).unwrap();
    let line = head.first().map_or("", |line| line.trim_end_matches(" HTTP/1.1")).to_owned();
    Received { line, authorization: header("authorization"), body: String::from_utf8(body).unwrap() }
}

#[test]
fn a_registry_lists_all_its_images_by_its_api_and_by_its_folder() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = DebianRegistry::plain(folder.path());
    registry.push(&["acme/app:1=oci-index", "acme/app:2=docker", "alpine:3.22=docker", "deep/er/app:1=oci"]);
    let images = ["acme/app:1", "acme/app:2", "alpine:3.22", "deep/er/app:1"];
    let address = format!("http://{}", registry.address());
    let mut listed = run(block("_catalog"), "http://localhost:5000", &address, home.path());
    listed.sort_unstable();
    assert_eq!(listed, images);
    let pages = block("_catalog").replace("n=1000", "n=1");
    let mut listed = run(&pages, "http://localhost:5000", &address, home.path());
    listed.sort_unstable();
    assert_eq!(listed, images, "page by page");
    let here = folder.path().join("docker/registry").to_str().unwrap().to_owned();
    let mut listed = run(block("_manifests/tags"), "/var/lib/registry/docker/registry", &here, home.path());
    listed.sort_unstable();
    assert_eq!(listed, images);
}

#[test]
fn the_dependency_proxy_of_gitlab_lists_its_images() {
    let home = tempfile::tempdir().unwrap();
    let (address, received) = serve(|request| {
        (request.line == "POST /api/graphql").then(|| {
            let nodes = json!([{"imageName": "alpine:latest"}, {"imageName": "library/redis:7"}]);
            json!({"data": {"group": {"dependencyProxyManifests": {"nodes": nodes}}}})
        })
    });
    let listed = run(block("graphql"), "https://gitlab.example.com", &address, home.path());
    assert_eq!(listed, ["alpine:latest", "library/redis:7"]);
    let received = received.lock().unwrap();
    assert_eq!(received[0].authorization, "Bearer glpat-of-a-test");
    let query: Value = serde_json::from_str(&received[0].body).unwrap();
    let expected = "{ group(fullPath: \"team\") { dependencyProxyManifests { nodes { imageName } } } }";
    assert_eq!(query["query"], expected);
}

#[test]
fn a_project_of_harbor_lists_its_images() {
    let home = tempfile::tempdir().unwrap();
    let project = "GET /api/v2.0/projects/hub/repositories";
    let (address, received) = serve(move |request| {
        let path = request.line.strip_prefix(project)?;
        Some(match path {
            "?page_size=100" => json!([{"name": "hub/library/alpine"}, {"name": "hub/app"}]),
            "/library%252Falpine/artifacts?page_size=100" => {
                json!([{"tags": [{"name": "3.22"}, {"name": "latest"}]}, {"tags": null}])
            }
            "/app/artifacts?page_size=100" => json!([{"tags": [{"name": "1"}]}]),
            _ => return None,
        })
    });
    std::fs::write(home.path().join(".netrc"), "machine 127.0.0.1 login robot password secret\n").unwrap();
    let listed = run(block("harbor"), "https://harbor.example.com", &address, home.path());
    assert_eq!(listed, ["library/alpine:3.22", "library/alpine:latest", "app:1"]);
    let received = received.lock().unwrap();
    assert!(received.iter().all(|request| request.authorization.starts_with("Basic ")) && received.len() == 3);
}
