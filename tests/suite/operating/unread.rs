//! Standard output and standard error that are not read delay neither the service nor its end.

use std::io::{ErrorKind, PipeReader, Write, pipe};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};

use super::metrics::metrics;
use crate::service::{Config, eventually};

/// Maximum time of a start on a busy machine, beside the one second per line.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns a full pipe. Writers block as long as its other end is kept.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        let full = loop {
            if let Err(error) = writer.write(&vec![b'x'; size]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, Stdio::from(writer))
}

#[actix_rt::test]
async fn a_service_whose_standard_output_is_full_serves_re_reads_its_settings_and_stops() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    service.kill();
    let (_unread, full) = full_pipe();
    service.restart_with_output(full);
    assert_eq!(service.stranger().get("/v2/").await.status, 401);
    assert!(metrics(&service).await.contains("dependency_proxy_"));
    service.signal("HUP");
    eventually("SIGHUP is told of", async || service.log().contains("SIGHUP")).await;
    service.tell_to_stop();
    let told = Instant::now();
    assert_eq!(service.ended().await.code(), Some(0));
    assert!(told.elapsed() < START_TIMEOUT, "{:?}", told.elapsed());
}

#[actix_rt::test]
async fn a_refused_start_ends_although_standard_error_is_full() {
    let service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let (_unread, full) = full_pipe();
    let status = service.second_process_ends_within(START_TIMEOUT, full);
    assert_eq!(status.code(), Some(4), "the data is in use");
}
