//! Downloads from a server in this process that behaves and misbehaves.
#![cfg(feature = "download")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elucid_models::{Entry, Progress, PullError, PullOptions, Stage, manifest, pull, sha256};
use tempfile::TempDir;

/// What the server does with one request, given its first byte when a range was asked for.
type Behaviour = dyn Fn(usize, Option<u64>, &mut TcpStream) + Send + Sync;

struct Server {
    url: String,
    /// The range starts that were asked for, in order.
    asked: Arc<Mutex<Vec<Option<u64>>>>,
}

/// Answers each connection once, with the number of the request. Its thread ends with the test.
fn serve(behaviour: impl Fn(usize, Option<u64>, &mut TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/models", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let behaviour: Arc<Behaviour> = Arc::new(behaviour);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let (log, behaviour) = (Arc::clone(&log), Arc::clone(&behaviour));
            std::thread::spawn(move || {
                let mut range = None;
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 0 && line != "\r\n" {
                    let header = line.to_lowercase();
                    if let Some(value) = header.strip_prefix("range: bytes=") {
                        range = value.trim().trim_end_matches('-').parse().ok();
                    }
                    line.clear();
                }
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(range);
                    log.len() - 1
                };
                behaviour(number, range, &mut stream);
            });
        }
    });
    Server { url, asked }
}

/// A correct answer to the request, cut off after `limit` bytes of the body.
fn answer(data: &[u8], range: Option<u64>, limit: usize, stream: &mut TcpStream) {
    let start = range.unwrap_or(0) as usize;
    let size = data.len();
    if start >= size {
        status(416, stream);
        return;
    }
    let head = match range {
        Some(_) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}\r\n",
            size - 1
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let body = &data[start..];
    let _ = write!(
        stream,
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&body[..limit.min(body.len())]);
}

/// A server that answers every request as it should.
fn honest(data: &[u8]) -> Server {
    let served = data.to_vec();
    serve(move |_, range, stream| answer(&served, range, usize::MAX, stream))
}

fn status(code: u16, stream: &mut TcpStream) {
    let _ = write!(
        stream,
        "HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

fn data() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn entry_of(data: &[u8]) -> Entry {
    let mut entry = manifest::by_name("googlenet").unwrap().clone();
    entry.name = "toy".into();
    entry.file = "toy.onnx".into();
    entry.bytes = data.len() as u64;
    entry.sha256 = sha256::of_bytes(data);
    entry
}

fn options(server: &Server) -> PullOptions {
    PullOptions {
        base_url: Some(server.url.clone()),
        attempts: 3,
        backoff: Duration::from_millis(1),
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(2),
        ..PullOptions::default()
    }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn part(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("toy.onnx.part")).unwrap_or_default()
}

/// Leaves a part of the file in the folder, as a pull does that ended early.
fn leave(part: &[u8], folder: &TempDir) {
    fs::write(folder.path().join("toy.onnx.part"), part).unwrap();
}

/// A pull that gives the whole file.
fn pull_whole(data: &[u8], folder: &TempDir, options: &PullOptions) {
    pull(&entry_of(data), folder, options, go_on).unwrap();
    assert_complete(folder.path(), data);
}

fn assert_complete(folder: &Path, data: &[u8]) {
    assert!(fs::read(folder.join("toy.onnx")).unwrap() == data);
    assert!(!folder.join("toy.onnx.part").exists());
}

#[test]
fn whole_file_then_nothing_more_to_do() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let server = honest(&data);
    let mut seen = Vec::new();
    let path = pull(
        &entry_of(&data),
        folder.path().join("new"),
        &options(&server),
        |p| {
            seen.push(p);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(path, folder.path().join("new/toy.onnx"));
    assert_complete(&folder.path().join("new"), &data);
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].received <= pair[1].received)
    );
    assert_eq!(seen.last().unwrap().received, data.len() as u64);
    assert_eq!(seen.last().unwrap().stage, Stage::Verifying);

    pull(
        &entry_of(&data),
        folder.path().join("new"),
        &options(&server),
        go_on,
    )
    .unwrap();
    assert_eq!(*server.asked.lock().unwrap(), [None]);
}

#[test]
fn a_cut_connection_is_resumed_within_one_pull() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let served = data.clone();
    let server = serve(move |number, range, stream| {
        let limit = if number == 0 { 100_000 } else { usize::MAX };
        answer(&served, range, limit, stream);
    });
    pull_whole(&data, &folder, &options(&server));
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].is_some_and(|start| start > 0 && start <= 100_000));
}

#[test]
fn a_part_is_kept_on_failure_and_resumed_by_the_next_pull() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let served = data.clone();
    let server = serve(move |number, range, stream| match number {
        0 => answer(&served, range, 100_000, stream),
        1 | 2 => status(503, stream),
        _ => answer(&served, range, usize::MAX, stream),
    });
    let error = pull(&entry_of(&data), &folder, &options(&server), go_on).unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    let kept = part(folder.path());
    assert!(!kept.is_empty() && kept == data[..kept.len()]);

    pull_whole(&data, &folder, &options(&server));
    let resumed = Some(kept.len() as u64);
    assert_eq!(
        *server.asked.lock().unwrap(),
        [None, resumed, resumed, resumed]
    );
}

#[test]
fn a_server_that_ignores_the_range() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data[..200_000], &folder);
    let served = data.clone();
    let server = serve(move |number, _, stream| {
        let limit = if number == 0 { 50_000 } else { usize::MAX };
        answer(&served, None, limit, stream);
    });
    let once = PullOptions {
        attempts: 1,
        ..options(&server)
    };
    pull(&entry_of(&data), &folder, &once, go_on).unwrap_err();
    assert_eq!(part(folder.path()).len(), 200_000, "the part shrank");
    pull_whole(&data, &folder, &once);
}

#[test]
fn a_complete_part_needs_no_server() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data, &folder);
    let server = serve(|_, _, stream| status(500, stream));
    pull_whole(&data, &folder, &options(&server));
    assert!(server.asked.lock().unwrap().is_empty());
}

#[test]
fn a_part_longer_than_the_file_is_dropped() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&[1; 400_000], &folder);
    let server = honest(&data);
    pull_whole(&data, &folder, &options(&server));
}

#[test]
fn after_416_the_whole_file_is_asked_for() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data[..1000], &folder);
    let served = data.clone();
    let server = serve(move |_, range, stream| match range {
        Some(_) => status(416, stream),
        None => answer(&served, None, usize::MAX, stream),
    });
    pull_whole(&data, &folder, &options(&server));
    assert_eq!(*server.asked.lock().unwrap(), [Some(1000), None]);
}

#[test]
fn a_range_that_starts_elsewhere_is_not_trusted() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data[..1000], &folder);
    let served = data.clone();
    let server = serve(move |_, range, stream| {
        answer(&served, range.map(|start| start + 1), usize::MAX, stream);
    });
    pull_whole(&data, &folder, &options(&server));
}

#[test]
fn a_wrong_hash_removes_the_part_and_keeps_the_old_file() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("toy.onnx"), "an older file").unwrap();
    let mut served = data.clone();
    served[7] ^= 1;
    let got = sha256::of_bytes(&served);
    let server = honest(&served);
    let entry = entry_of(&data);
    let error = pull(&entry, &folder, &options(&server), go_on).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&got) && text.contains(&entry.sha256),
        "{text}"
    );
    assert!(matches!(error, PullError::WrongHash { .. }));
    assert!(!folder.path().join("toy.onnx.part").exists());
    assert_eq!(
        fs::read(folder.path().join("toy.onnx")).unwrap(),
        b"an older file"
    );
}

#[test]
fn a_rotten_part_is_replaced_by_the_next_pull() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&[9; 1000], &folder);
    let server = honest(&data);
    let error = pull(&entry_of(&data), &folder, &options(&server), go_on).unwrap_err();
    assert!(matches!(error, PullError::WrongHash { .. }), "{error}");
    pull_whole(&data, &folder, &options(&server));
}

#[test]
fn the_second_address_serves_when_the_first_fails() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let missing = serve(|_, _, stream| status(404, stream));
    let server = honest(&data);
    let mut entry = entry_of(&data);
    entry.urls = vec![
        format!("{}/a", missing.url),
        "http://127.0.0.1:1/b".into(),
        "not an address".into(),
        format!("{}/c", server.url),
    ];
    let options = PullOptions {
        base_url: None,
        ..options(&server)
    };
    pull(&entry, &folder, &options, go_on).unwrap();
    assert_complete(folder.path(), &data);
    assert_eq!(missing.asked.lock().unwrap().len(), 1, "404 was retried");
}

#[test]
fn a_redirection_keeps_the_range() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data[..1000], &folder);
    let target = honest(&data);
    let location = format!("{}/elsewhere", target.url);
    let server = serve(move |_, _, stream| {
        let _ = write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        );
    });
    pull_whole(&data, &folder, &options(&server));
    assert_eq!(*target.asked.lock().unwrap(), [Some(1000)]);
}

#[test]
fn offline_names_the_addresses_and_the_place() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let mut entry = entry_of(&data);
    entry.urls = vec![
        "http://127.0.0.1:1/first".into(),
        "http://no-such-host.invalid/second".into(),
    ];
    let options = PullOptions {
        attempts: 1,
        ..PullOptions::default()
    };
    let error = pull(&entry, &folder, &options, go_on).unwrap_err();
    let text = error.to_string();
    for needle in [
        "127.0.0.1:1/first",
        "no-such-host.invalid/second",
        "toy.onnx",
    ] {
        assert!(text.contains(needle), "{text}");
    }
    assert!(matches!(error, PullError::Unreachable { .. }), "{text}");
    entry.urls.clear();
    let error = pull(&entry, &folder, &options, go_on).unwrap_err();
    assert!(matches!(error, PullError::NotHosted { .. }), "{error}");
}

#[test]
fn a_file_of_another_size_leaves_the_part_alone() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    leave(&data[..1000], &folder);
    let server = serve(|_, range, stream| answer(&[0; 5000], range, usize::MAX, stream));
    let error = pull(&entry_of(&data), &folder, &options(&server), go_on).unwrap_err();
    assert!(error.to_string().contains("5000 bytes"), "{error}");
    assert_eq!(part(folder.path()), data[..1000]);
}

#[test]
fn cancelling_keeps_what_came() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let server = honest(&data);
    let error = pull(&entry_of(&data), &folder, &options(&server), |p| {
        if p.received > 50_000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap_err();
    assert!(matches!(error, PullError::Cancelled { .. }), "{error}");
    let kept = part(folder.path());
    assert!(kept.len() > 50_000 && kept == data[..kept.len()]);
    pull_whole(&data, &folder, &options(&server));
}

#[test]
fn an_endless_body_is_read_no_further_than_the_file() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(|_, _, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[7; 4096]).is_ok() {}
    });
    let mut most = 0;
    let error = pull(&entry_of(&data), &folder, &options(&server), |p| {
        most = most.max(p.received);
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert!(matches!(error, PullError::WrongHash { .. }), "{error}");
    assert_eq!(most, data.len() as u64);
}

#[test]
fn a_silent_server_is_given_up() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(|_, _, _stream| std::thread::sleep(Duration::from_secs(20)));
    let options = PullOptions {
        attempts: 1,
        read_timeout: Duration::from_millis(200),
        ..options(&server)
    };
    let start = std::time::Instant::now();
    let error = pull(&entry_of(&data), &folder, &options, go_on).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_the_part_kept() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let served = data.clone();
    let server = serve(move |_, range, stream| {
        answer(&served, range, 100_000, stream);
        std::thread::sleep(Duration::from_secs(20));
    });
    let options = PullOptions {
        attempts: 1,
        read_timeout: Duration::from_millis(500),
        ..options(&server)
    };
    let start = std::time::Instant::now();
    pull(&entry_of(&data), &folder, &options, go_on).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!part(folder.path()).is_empty());
}

#[test]
fn two_at_once_make_one_download() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let served = data.clone();
    let server = serve(move |_, range, stream| {
        std::thread::sleep(Duration::from_millis(300));
        answer(&served, range, usize::MAX, stream);
    });
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                pull(&entry_of(&data), &folder, &options(&server), go_on).unwrap();
            });
        }
    });
    assert_complete(folder.path(), &data);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_wait_for_another_process_is_bounded() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let lock = fs::File::create(folder.path().join("toy.onnx.lock")).unwrap();
    lock.lock().unwrap();
    let options = PullOptions {
        lock_timeout: Duration::from_millis(150),
        ..PullOptions::default()
    };
    let mut waited = false;
    let error = pull(&entry_of(&data), &folder, &options, |p| {
        waited |= p.stage == Stage::Waiting;
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert!(matches!(error, PullError::Busy { .. }), "{error}");
    assert!(waited);
}

#[test]
fn a_file_name_with_folders_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["../evil.onnx", "/tmp/evil.onnx", "", "..", "a/b.onnx"] {
        let mut entry = entry_of(&data());
        entry.file = file.into();
        let error = pull(&entry, &folder, &PullOptions::default(), go_on).unwrap_err();
        assert!(matches!(error, PullError::BadFileName { .. }), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = pull(&entry_of(&data()), &blocked, &PullOptions::default(), go_on).unwrap_err();
    assert!(matches!(error, PullError::Io { .. }), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
}
