//! Tests of the ends and the faults of requests, however their bytes arrive.

use proptest::prelude::*;

use super::*;

const REQUESTS: [&str; 9] = [
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "\r\n\r\nHEAD /v2/ HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\nhost: x\n\n",
    "POST / HTTP/1.1\r\nHost: x\r\nCONTENT-length:  12 \r\n\r\nGET / HTTP/1",
    "DELETE / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n\r\n\r\nx\r\n1A\r\n12345678901234567890123456\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\ntrailer: x\r\n\r\n",
    "GET / HTTP/1.1\r\ncookie: y\r\ntrailer: transfer-encoding: chunked\r\nte: trailers\r\nupgrade: h2c\r\n\r\n",
    "GET /content-length:7 HTTP/1.1\r\ncontent-type: content-length: 3\r\n\r\n",
];

proptest! {
    #[test]
    fn the_ends_of_requests_do_not_depend_on_how_their_bytes_arrive(
        picked in prop::collection::vec(0..REQUESTS.len(), 1..8),
        sizes in prop::collection::vec(1..40_usize, 1..40),
    ) {
        let (mut framing, mut ends, mut at) = (Framing::default(), Vec::new(), 0);
        let all: String = picked.iter().map(|number| REQUESTS[*number]).collect();
        let mut sizes = sizes.into_iter().cycle();
        let mut arrived = 0;
        while at < all.len() {
            if arrived <= at {
                arrived = (at + sizes.next().unwrap_or(1)).min(all.len());
            }
            at += framing.take(&all.as_bytes()[at..arrived]);
            if framing.is_complete() {
                ends.push(at);
                framing.next();
            }
        }
        let mut end = 0;
        let expected: Vec<usize> = picked.iter().map(|number| { end += REQUESTS[*number].len(); end }).collect();
        prop_assert_eq!(ends, expected);
    }
}

#[test]
fn a_request_without_a_certain_end_is_never_complete() {
    for head in [
        "CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nupgrade: WebSocket\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let all = format!("{head}{}", REQUESTS[0]);
        let mut framing = Framing::default();
        assert_eq!(framing.take(all.as_bytes()), all.len(), "{head}");
        assert!(!framing.is_complete(), "{head}");
    }
}

#[test]
fn a_request_is_the_last_where_its_version_or_its_headers_say_so() {
    let long = format!("GET /{} HTTP/1.0", "x".repeat(1000));
    for (head, is_last) in [
        ("GET / HTTP/1.1", false),
        ("GET / HTTP/1.1\r\nConnection: keep-alive", false),
        ("GET / HTTP/1.1\r\nconnection: CLOSE", true),
        ("GET / HTTP/1.1\r\nconnection: te , close", true),
        ("GET / HTTP/1.1\r\nx-connection: close", false),
        ("GET /HTTP/1.0 HTTP/1.1", false),
        ("GET / HTTP/1.0", true),
        ("GET / HTTP/1.0\r\nconnection: Keep-Alive", false),
        ("GET / HTTP/1.0\r\nconnection: keep-alive, close", true),
        (&long, true),
    ] {
        for size in [1, 3, 300, 10_000] {
            let mut framing = Framing::default();
            for bytes in format!("{head}\r\n\r\n").as_bytes().chunks(size) {
                framing.take(bytes);
            }
            assert_eq!((framing.is_complete(), framing.is_last()), (true, is_last), "{head}, {size}");
        }
    }
}

#[test]
fn a_long_line_takes_little_memory() {
    let mut framing = Framing::default();
    for _ in 0..1000 {
        framing.take(&[b'x'; 1000]);
    }
    assert!(framing.line.len() <= MAX_LINE_BYTES);
}

/// Returns the fault of a request with this chunked body, which arrives in packets of this many bytes.
fn fault_of(body: &str, size: usize) -> Option<Fault> {
    let mut framing = Framing::default();
    for bytes in format!("PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}").as_bytes().chunks(size) {
        framing.take(bytes);
    }
    framing.fault()
}

#[test]
fn bytes_around_chunks_are_bounded_and_the_chunks_are_not() {
    let long = "x".repeat(MAX_AROUND_CHUNKS as usize);
    for size in [1, 100, 1 << 20] {
        for body in [format!("0\r\n{}", "t: x\r\n".repeat(3000)), format!("0\r\nt: {long}"), "1\r\nx\r\n".repeat(9000)]
        {
            assert_eq!(fault_of(&body, size), Some(Fault::LongFraming), "{size}");
        }
        for body in ["5\nhello\r\n", "5\r\nhello\r\n0\n\r\n", "0\r\nt: x\n\r\n", "0\r\n\n", "0\r\nt: x\r\n\n"] {
            assert_eq!(fault_of(body, size), Some(Fault::MalformedFraming), "{size}, {body:?}");
        }
        let (longest, too_long) = ("0".repeat(MAX_LINE_BYTES - 3), "0".repeat(MAX_LINE_BYTES - 2));
        assert_eq!(fault_of(&format!("{longest}5\r\nhello\r\n0\r\n\r\n"), size), None, "{size}");
        assert_eq!(fault_of(&format!("{too_long}5\r\nhello"), size), Some(Fault::MalformedFraming), "{size}");
        for body in [format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(50), "1\r\nx\r\n".repeat(2000)] {
            assert_eq!(fault_of(&format!("{body}0\r\n\r\n"), size), None, "{size}");
        }
    }
}

#[test]
fn a_name_is_too_long_however_its_bytes_arrive_and_a_value_is_not() {
    for size in [1, 100, 100_000] {
        for (header, expected) in [
            (format!("{}: x", "n".repeat(100_000)), true),
            (format!("{}: x", "n".repeat(MAX_LINE_BYTES)), true),
            ("n".repeat(70_000), true),
            (format!("n: {}", "x".repeat(100_000)), false),
            (format!("{}: x", "n".repeat(MAX_LINE_BYTES - 1)), false),
        ] {
            let mut framing = Framing::default();
            let head = format!("GET /{} HTTP/1.1\r\n{header}\r\n\r\n", "x".repeat(1000));
            for bytes in head.as_bytes().chunks(size) {
                framing.take(bytes);
            }
            assert_eq!(framing.fault() == Some(Fault::LongName), expected, "{size}");
        }
    }
}
