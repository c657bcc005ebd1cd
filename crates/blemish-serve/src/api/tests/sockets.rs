//! What only connections show: bodies that do not come, callers that go away, servers that stop.

use super::SCORE;
use crate::options::ServeOptions;
use crate::server::Running;
use crate::testing::{bench, options, running, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Says something to a server and reads what it answers until it closes or rests.
fn talk(address: &str, pieces: &[&[u8]]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for piece in pieces {
        stream.write_all(piece).unwrap();
    }
    let answer = answer(&mut stream);
    (stream, answer)
}

/// Reads one answer.
fn answer(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&piece[..count]),
        }
        let shown = String::from_utf8_lossy(&text);
        let Some((head, body)) = shown.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if length.is_some_and(|length| body.len() >= length) {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn head(path: &str, more: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").into_bytes()
}

fn is_free(running: &Running) -> bool {
    let free = running.server.models.memory().free();
    let queued: usize = running.server.models.all().iter().map(|served| served.queued()).sum();
    queued == 0 && free.0 + free.1 == running.server.options.memory_limit
}

/// Runs what waits for sockets beside the runtime.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_before_the_body_comes() {
    let (options, _folder) = options(&["line"]);
    let running = running(ServeOptions { queue: 2, ..options }).await;
    let served = running.server.models.get("line").unwrap();
    let places = [served.reserve().unwrap(), served.reserve().unwrap()];
    let (address, image) = (running.address.clone(), bench().images()[0].clone());
    // The head alone: without an answer to it this would wait.
    let (mut stream, answer_) = beside({
        let (address, length) = (address.clone(), image.len());
        move || talk(&address, &[&head(SCORE, &format!("Content-Length: {length}\r\n"))])
    })
    .await;
    assert!(
        answer_.starts_with("HTTP/1.1 503")
            && answer_.contains("retry-after: 1")
            && answer_.contains("queue_full"),
        "{answer_}"
    );
    drop(places);
    // The body still comes, is thrown away, and the connection serves the next request.
    let second = beside(move || {
        stream.write_all(&image).unwrap();
        stream.write_all(&head(SCORE, &format!("Content-Length: {}\r\n", image.len()))).unwrap();
        stream.write_all(&image).unwrap();
        answer(&mut stream)
    })
    .await;
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
    until("everything is free", || is_free(&running)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_limit_is_cut() {
    let (options, _folder) = options(&["line"]);
    let running = running(ServeOptions { max_body: 1 << 20, ..options }).await;
    let address = running.address.clone();
    let (answered, sent) = beside(move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(&head(SCORE, "Transfer-Encoding: chunked\r\n")).unwrap();
        let chunk = [b"10000\r\n", &[0; 0x10000][..], b"\r\n"].concat();
        let mut sent = 0_u64;
        // As much as the server takes, of 10 GiB at most.
        while sent < 10 << 30 && stream.write_all(&chunk).is_ok() {
            sent += 0x10000;
        }
        (answer(&mut stream), sent)
    })
    .await;
    // What was on its way when it was cut may be lost with the answer.
    assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 413"), "{answered}");
    assert!(sent < 64 << 20, "{sent}");
    let address = running.address.clone();
    let (_, refused) = beside(move || talk(&address, &[&head(SCORE, "Content-Length: 99999999\r\n")])).await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains("body_too_large"), "{refused}");
    until("everything is free", || is_free(&running)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_nothing_behind() {
    let (options, _folder) = options(&["line"]);
    let running = running(options).await;
    let image = bench().images()[0].clone();
    let open_files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = open_files();
    let address = running.address.clone();
    beside(move || {
        for round in 0..60 {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head = head(SCORE, &format!("Content-Length: {}\r\n", image.len()));
            // After the head, in the body, and while it is scored.
            let whole = [&head[..], &image].concat();
            let end = [head.len(), head.len() + image.len() / 2, whole.len()][round % 3];
            stream.write_all(&whole[..end]).unwrap();
            std::thread::sleep(Duration::from_millis(round as u64 % 4));
        }
    })
    .await;
    until("everything is free", || is_free(&running) && running.connections() == 0).await;
    // Other tests of this process open files, too.
    until("files are closed", || open_files() <= before + 20).await;
    let address = running.address.clone();
    let image = bench().images()[0].clone();
    let (_, answered) = beside(move || {
        let head = head(SCORE, &format!("Content-Length: {}\r\n", image.len()));
        talk(&address, &[&head, &image])
    })
    .await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_answered_before_the_end() {
    let (options, folder) = options(&["line"]);
    let mut running = running(options).await;
    let image = bench().images()[0].clone();
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (address, image) = (running.address.clone(), image.clone());
        callers.push(tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(&head(SCORE, &format!("Content-Length: {}\r\n", image.len()))).unwrap();
            stream.write_all(&image[..image.len() / 2]).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(&image[image.len() / 2..]).unwrap();
            answer(&mut stream)
        }));
    }
    let served = running.server.models.get("line").unwrap();
    until("all are in flight", || served.queued() == 8).await;
    running.stop();
    for caller in callers {
        let answered = caller.await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    }
    running.ended().await.unwrap();
    assert!(TcpStream::connect(&running.address).is_err());
    drop(folder);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_made_and_taken_away() {
    use crate::server::ping;
    use std::os::unix::fs::PermissionsExt;
    let (options, folder) = options(&["line"]);
    let path = folder.path().join("blemish.sock");
    let listen = crate::options::Listen::Unix(path.clone());
    let options = ServeOptions { listen: listen.clone(), ..options };
    // Left over by a server that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (server, app) = crate::testing::server(options).await;
    let mut running = Running::new(server.clone(), app.clone()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    beside(move || ping(&listen, false, Duration::from_secs(5))).await.unwrap();
    let second = Running::new(server, app).err().unwrap();
    assert!(second.text.contains("another server answers"), "{second}");
    running.stop();
    running.ended().await.unwrap();
    assert!(!path.exists());
    std::fs::write(&path, "a file of somebody").unwrap();
    let (server, app) = crate::testing::server(ServeOptions {
        listen: crate::options::Listen::Unix(path.clone()),
        ..crate::testing::options(&["line"]).0
    })
    .await;
    assert!(Running::new(server, app).is_err() && path.exists());
}
