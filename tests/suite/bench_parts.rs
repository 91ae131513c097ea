//! The parts of `benches/throughput` that figures depend on and whose errors would go unnoticed.

#[allow(dead_code, reason = "a bench uses the rest")]
#[path = "../../benches/throughput/origin/content.rs"]
mod content;
#[allow(dead_code, reason = "a bench uses the rest")]
#[path = "../../benches/throughput/load/head.rs"]
mod head;
#[allow(dead_code, reason = "a bench uses the rest")]
#[path = "../../benches/throughput/results/summary.rs"]
mod summary;
#[allow(dead_code, reason = "a bench uses the rest")]
#[path = "../../benches/throughput/usage.rs"]
mod usage;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use content::Content;
use head::ResponseParser;
use summary::Summary;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";

#[test]
fn an_answer_is_whole_with_its_last_byte_however_it_is_cut() {
    for cut in 1..ANSWER.len() {
        let mut answer = ResponseParser::default();
        let (first, second) = ANSWER.split_at(cut);
        assert_eq!(answer.take(first, false).unwrap(), None, "cut at {cut}");
        let whole = answer.take(second, false).unwrap().unwrap();
        assert_eq!((whole.status, whole.length, whole.left, whole.close), (200, 5, 0, false), "cut at {cut}");
    }
}

#[test]
fn the_next_answer_of_a_connection_begins_anew() {
    let mut answer = ResponseParser::default();
    for _ in 0..2 {
        assert!(answer.take(ANSWER, false).unwrap().is_some());
        answer.clear();
    }
}

#[test]
fn an_answer_to_head_is_whole_without_a_body() {
    let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 1000\r\nConnection: close\r\n\r\n";
    let known = ResponseParser::default().take(head, true).unwrap().unwrap();
    assert_eq!((known.status, known.length, known.close), (404, 1000, true));
}

#[test]
fn an_answer_that_is_too_long_or_tells_no_length_is_an_error() {
    let too_long = [ANSWER, b"!"].concat();
    assert!(ResponseParser::default().take(&too_long, false).is_err());
    assert!(ResponseParser::default().take(b"HTTP/1.1 200 OK\r\n\r\n", false).is_err());
    assert!(ResponseParser::default().take(b"SSH-2.0-OpenSSH\r\n\r\n", false).is_err());
    assert!(
        ResponseParser::default()
            .take(&[b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; 20_000].as_slice()].concat(), false)
            .is_err()
    );
}

fn bytes(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn content_is_the_same_from_every_offset_and_has_its_true_digest() {
    let content = Content::Generated { seed: 7, size: 3 << 20 };
    let whole = bytes(&content);
    assert_eq!(whole.len() as u64, content.size());
    for offset in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
        let chunk = content.chunk(offset, 1000);
        assert!(!chunk.is_empty() && whole[offset as usize..].starts_with(&chunk), "from {offset}");
    }
    assert!(content.chunk(3 << 20, 1000).is_empty());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole);
    assert_eq!(content.digest(), format!("sha256:{}", hex::encode(digest)));
}

#[test]
fn contents_of_other_seeds_differ_and_do_not_compress() {
    let digests: std::collections::BTreeSet<_> =
        (0..1000).map(|seed| Content::Generated { seed, size: 64 }.digest()).collect();
    assert_eq!(digests.len(), 1000);
    let mut seen = [0_u32; 256];
    bytes(&Content::Generated { seed: 1, size: 1 << 20 }).iter().for_each(|byte| seen[usize::from(*byte)] += 1);
    assert!(seen.iter().all(|count| (3500..4700).contains(count)), "{seen:?}");
}

#[test]
fn the_median_is_the_middle_and_the_spread_the_ends() {
    assert_eq!(Summary::of(vec![]), None);
    assert_eq!(Summary::of(vec![3.0, 1.0, 2.0]), Some(Summary { median: 2.0, min: 1.0, max: 3.0 }));
    assert_eq!(Summary::of(vec![4.0, 1.0, 2.0, 3.0]), Some(Summary { median: 2.5, min: 1.0, max: 4.0 }));
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        );
        let _ = self.0.wait();
    }
}

#[test]
fn all_processes_of_a_group_are_measured_together() {
    // Each of the two uses 40 MB and has used some CPU time when it prints.
    let one = "(x=$(head -c 40000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo x; sleep 100; :)";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{one} & {one} & wait")]).process_group(0);
    let mut group = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = [0; 4];
    group.0.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let used = usage::of_group(i32::try_from(group.0.id()).unwrap());
    assert!(used.resident > 60_000_000 && used.peak >= used.resident, "{used:?}");
    assert!(used.cpu_seconds > 0.0, "{used:?}");
    assert_eq!(usage::of_group(i32::MAX), usage::Usage::default());
}
