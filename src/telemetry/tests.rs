//! Tests of the filters and formats of log lines.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(filter: &str, human: bool, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let filter = LogFilter::try_from(filter.to_owned()).unwrap();
    let (subscriber, _) = subscriber(&filter, human, false, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn other_crates_may_only_warn_whatever_the_filter_says() {
    let text = logged("trace,hyper=trace,reqwest=trace", true, || {
        tracing::trace!(target: "hyper::proto", "authorization: hidden");
        tracing::debug!(target: "reqwest::connect", "hidden?X-Amz-Signature=1");
        tracing::info!(target: "dependency_proxy_of_others", "hidden");
        tracing::error!(target: "actix_http::h1::dispatcher", "stream error: hidden");
        tracing::warn!(target: "h2", "a warning of h2");
        tracing::trace!("our own trace");
    });
    assert!(!text.contains("hidden"), "{text}");
    assert!(text.contains("a warning of h2") && text.contains("our own trace"), "{text}");
}

#[test]
fn the_filter_holds_for_our_own_lines() {
    let text = logged("info", true, || {
        tracing::debug!("unseen");
        tracing::info!("seen");
    });
    assert!(text.contains("seen") && !text.contains("unseen"), "{text}");
}

#[test]
fn machines_get_one_object_a_line() {
    let text = logged("info", false, || {
        let _request = RequestId::new(0x4f).enter();
        tracing::info!(bytes = 7, image = %"a\n\"b\"", missing = None::<u64>, r#type = "x", "served");
        tracing::info!("nothing else");
    });
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let time = lines[0]["timestamp"].as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
    let mut first = lines[0].clone();
    first.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(
        first,
        serde_json::json!({
            "level": "INFO", "message": "served", "bytes": 7, "image": "a\n\"b\"", "type": "x",
            "target": "dependency_proxy::telemetry::tests", "span": {"id": "0000004f", "name": "request"},
        })
    );
    assert_eq!(lines[1]["message"], "nothing else");
}

#[test]
fn people_see_the_request_at_the_end_of_a_line() {
    let text = logged("info", true, || {
        tracing::info!(bytes = 7, "apart");
        let _request = RequestId::new(0x4f).enter();
        tracing::info!(bytes = 7, "served");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("INFO apart bytes=7") && !text.contains("\n\n"), "{text}");
    assert!(lines[1].ends_with("INFO served bytes=7 request=0000004f"), "{text}");
}

#[test]
fn a_line_outside_of_any_request_has_no_span() {
    let text = logged("info", false, || tracing::warn!(ratio = 0.5, late = true, by = -3, "apart"));
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&line["ratio"], &line["late"], &line["by"]), (&0.5.into(), &true.into(), &(-3).into()));
    assert!(line.get("span").is_none(), "{text}");
}
