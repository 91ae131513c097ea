//! Tests of file ranges, which the connection sends from the file, so that the reader copies no bytes.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;

use super::*;

#[actix_rt::test]
async fn a_file_is_sent_in_large_file_ranges_and_in_small_ones_while_it_grows() {
    let upstream = FakeUpstream { pause: Duration::from_millis(2), ..FakeUpstream::of(6 << 20) };
    let scene = Scene::new(upstream);
    let content = &scene.upstream.content;
    let growing = scene.open(1).await.unwrap();
    assert!(send_range(growing, 5..(6 << 20) - 1).await.0 == content[5..content.len() - 1]);
    scene.until_committed().await;
    scene.until_linked(1).await;
    let parts: Vec<_> = scene.open(1).await.unwrap().chunks(10..6 << 20, Transfer::ZeroCopy).collect().await;
    let file_range = |chunk: Result<Chunk, _>| match chunk {
        Ok(Chunk::FileRange(part)) => (part.length(), part.is_followed()),
        Ok(Chunk::Bytes(_)) | Err(_) => panic!("no file range"),
    };
    assert_eq!(
        parts.into_iter().map(file_range).collect::<Vec<_>>(),
        [(2 << 20, true), ((4 << 20) - 10, false)],
        "a rest of less than two ranges is not split"
    );
    assert!(send_range(scene.open(1).await.unwrap(), 10..6 << 20).await.0 == content[10..]);
}

#[actix_rt::test]
async fn the_last_byte_is_not_sent_before_the_digest_holds() {
    let upstream = FakeUpstream { pause: Duration::from_millis(5), ..FakeUpstream::of(100_000) };
    let scene = Scene::new(upstream.replying([Reply::Corrupt(3)]));
    let (bytes, error) = match scene.open(1).await {
        Ok(growing) => send_range(growing, 0..100_000).await,
        // On a busy machine the download may have failed before its first byte is requested.
        Err(error) => (Vec::new(), Some(error)),
    };
    assert!(bytes.len() < 100_000 && matches!(error, Some(BlobError::WrongDigest)));
}

#[actix_rt::test]
async fn content_beyond_the_free_space_follows_as_bytes_after_the_file_ranges() {
    let scene = Scene::with(FakeUpstream::of(200_000), OPTIONS, full_at_70_000);
    let (bytes, error) = send_range(scene.open(1).await.unwrap(), 0..200_000).await;
    assert!(error.is_none() && bytes == scene.upstream.content);
}

#[actix_rt::test]
async fn a_file_that_was_cut_short_is_not_sent_beyond_its_end() {
    let scene = stocked([]).await;
    scene.until_linked(1).await;
    let mut chunks = scene.open(1).await.unwrap().chunks(0..100_000, Transfer::ZeroCopy);
    let Some(Ok(Chunk::FileRange(mut part))) = chunks.next().await else { panic!("no file range") };
    let hex = scene.digest.hex();
    let path = scene.folder.path().join("blobs/sha256").join(&hex[..2]).join(hex);
    File::options().write(true).open(path).unwrap().set_len(10).unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    assert_eq!(part.send_to(&socket, usize::MAX).unwrap(), 10);
    assert_eq!(part.send_to(&socket, usize::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
