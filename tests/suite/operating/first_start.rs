//! Output of the first start, and the refusals before it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::service::Config;

#[test]
fn a_first_start_that_cannot_listen_leaves_the_telling_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = serve(folder.path(), &taken.local_addr().unwrap().to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(4) && said.contains("cannot listen on"), "{said}");

    let told = told_by(serve(folder.path(), "127.0.0.1:0"));
    assert!(told.contains("docker login 127.0.0.1:") && told.contains("initial-admin-password"), "{told}");
    let again = told_by(serve(folder.path(), "127.0.0.1:0"));
    assert_eq!(again.lines().count(), 1, "{again}");
}

#[actix_rt::test]
async fn the_port_of_a_running_service_is_not_shared_with_another() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let folder = tempfile::tempdir().unwrap();
    let refused = serve(folder.path(), &service.address.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(4) && said.contains("cannot listen on"), "{said}");
    for _ in 0..20 {
        assert_eq!(service.stranger().get("/v2/").await.status, 401);
    }
}

#[test]
fn a_cache_folder_that_cannot_be_written_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (cache, sentences) in [
        (file.join("cache"), ["file/cache cannot be used as a folder", "is a file"]),
        ("/proc/cache".into(), ["/proc/cache cannot be used by user", "chown -R"]),
    ] {
        let mut command = serve(folder.path(), "127.0.0.1:0");
        let output = command.env("DEPENDENCY_PROXY__STORAGE__CACHE_DIR", cache).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(sentences.iter().all(|sentence| said.contains(sentence)), "{said}");
    }
}

#[test]
fn a_congestion_control_that_the_system_does_not_have_is_refused_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path(), "127.0.0.1:0");
    let output = command.env("DEPENDENCY_PROXY__SERVER__TCP_CONGESTION_CONTROL", "warp").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4), "{said}");
    assert!(said.contains("server.tcp_congestion_control") && said.contains("'warp'"), "{said}");
}

fn serve(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command
        .current_dir(folder)
        .env("DEPENDENCY_PROXY__SERVER__LISTEN", listen)
        .env("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", "")
        .stdin(Stdio::null());
    command
}

/// Returns its standard output. The process is stopped once it listens and has printed nothing more for a while.
fn told_by(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok).for_each(|line| {
            let _ = sender.send(line);
        });
    });
    let mut told = vec![lines.recv_timeout(Duration::from_secs(30)).unwrap()];
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) {
        told.push(line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    told.join("\n")
}

#[test]
fn too_few_open_files_are_refused_with_the_limit_and_the_way_to_raise_it() {
    let folder = tempfile::tempdir().unwrap();
    let start = format!("ulimit -n 24 && exec {} serve", env!("CARGO_BIN_EXE_dependency-proxy"));
    let output = Command::new("sh")
        .args(["-c", &start])
        .env("DEPENDENCY_PROXY__STORAGE__DATA_DIR", folder.path().join("data"))
        .env("DEPENDENCY_PROXY__SERVER__LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("24 files open") && said.contains("ulimit -n"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
