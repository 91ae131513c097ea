//! The REST API of the real server, driven by the clients that people have for GitLab's.

use std::ffi::OsString;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use dependency_proxy::server;
use dependency_proxy::settings::Settings;

const ADMIN_TOKEN: &str = "the administrator's token";

#[test]
fn python_gitlab_finds_everything_as_in_gitlab() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let python = std::env::var_os("DEPENDENCY_PROXY_TEST_PYTHON")
        .expect("DEPENDENCY_PROXY_TEST_PYTHON names a Python that has python-gitlab; tests/run makes one");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/gitlab.py");
    let url = format!("http://{}", service.address);
    let driven = Command::new(python).arg(script).arg(url).env("GITLAB_ADMIN_TOKEN", ADMIN_TOKEN).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&driven.stdout), String::from_utf8_lossy(&driven.stderr));
    assert!(driven.status.success(), "in {out}\n{err}");
    assert!(out.ends_with("settings\n"), "every check ran: {out}");
}

/// The service on a port of its own, until the value goes.
struct Service {
    address: std::net::SocketAddr,
    handle: actix_web::dev::ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    fn start(data: &std::path::Path) -> Self {
        let variables = [
            ("DEPENDENCY_PROXY__SERVER__LISTEN", OsString::from("127.0.0.1:0")),
            ("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", "127.0.0.1:0".into()),
            ("DEPENDENCY_PROXY__STORAGE__DATA_DIR", data.into()),
            ("DEPENDENCY_PROXY__BOOTSTRAP__ADMIN_TOKEN", ADMIN_TOKEN.into()),
        ];
        let environment = variables.map(|(name, value)| (OsString::from(name), value));
        let settings = Settings::load(None, environment).unwrap();
        let (started, starts) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let running = server::build(settings).await.unwrap();
                started.send((running.address, running.handle())).unwrap();
                running.run().await.unwrap();
            });
        });
        let (address, handle) = starts.recv().unwrap();
        Self { address, handle, thread: Some(thread) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}
