//! The parser of `multipart/byteranges` bodies.

/// Parses a `multipart/byteranges` body strictly by RFC 2046 and RFC 9110 section 14.6. Returns
/// `Content-Range` and bytes of each part.
pub(super) fn parts(content_type: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("not multipart/byteranges");
    let dashes = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter has no line break before it.
    let mut rest = body.strip_prefix(&dashes[2..]).expect("no part at the beginning");
    let mut parts = Vec::new();
    loop {
        if rest == b"--\r\n" {
            return parts;
        }
        let part = rest.strip_prefix(b"\r\n").expect("no line end after a delimiter");
        let head_end = find(part, b"\r\n\r\n");
        let head = std::str::from_utf8(&part[..head_end]).unwrap();
        let fields: Vec<_> = head.split("\r\n").map(|field| field.split_once(": ").unwrap()).collect();
        assert!(fields.contains(&("Content-Type", "application/octet-stream")), "{head}");
        let (_, range) = fields.iter().find(|(name, _)| *name == "Content-Range").unwrap();
        let content = &part[head_end + 4..];
        let end = find(content, &dashes);
        parts.push(((*range).to_owned(), content[..end].to_vec()));
        rest = &content[end + dashes.len()..];
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("a delimiter is missing")
}
