//! `elucid models`: listing, and downloads from a server that misbehaves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::common::{Desk, squeezenet};

/// Answers every request with `body`, and gives its address.
fn serve(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = (&stream).write_all(head.as_bytes());
            let _ = (&stream).write_all(body);
        }
    });
    format!("http://{address}")
}

#[test]
fn known_models_are_listed() {
    let desk = Desk::new();
    let text = desk.say("models list").ok().out;
    for (name, licence) in [
        ("inception_v1_small ", "MIT OR Apache-2.0"),
        ("squeezenet1_1 ", "BSD-2-Clause"),
    ] {
        let embedded = text.lines().find(|l| l.starts_with(name)).unwrap();
        assert!(embedded.contains("in this program"), "{embedded}");
        assert!(embedded.contains(licence), "{embedded}");
    }
    let rows = desk.say("models list --json").json();
    let googlenet = rows["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "googlenet-12")
        .unwrap();
    assert_eq!(googlenet["path"], serde_json::Value::Null);
    assert_eq!(googlenet["hosted"], true);
}

#[test]
fn a_path_is_printed_or_what_to_type() {
    let desk = Desk::new();
    desk.say("models path googlenet")
        .refused_with(1, &["elucid models pull googlenet-12"]);
    desk.say("models path squeezenet")
        .refused_with(1, &["--model squeezenet1_1"]);
    desk.say("models path embedded")
        .refused_with(1, &["--model inception_v1_small"]);
    desk.say("models path googlnet")
        .refused_with(1, &["googlenet-12"]);

    std::fs::create_dir_all(desk.path("assets/models")).unwrap();
    let file = desk.path("assets/models/googlenet.onnx");
    std::fs::write(&file, "stands for the network").unwrap();
    let assets = desk.path("assets").display().to_string();
    let desk = desk.with("ELUCID_ASSETS", assets);
    let found = desk.say("models path googlenet").ok().out;
    assert_eq!(found.trim_end(), file.display().to_string());
}

#[test]
fn a_file_with_another_hash_is_not_kept() {
    let desk = Desk::new().with("ELUCID_MODELS_URL", serve(b"not the network"));
    let ended = desk.say("models pull googlenet");
    assert_eq!(ended.out, "");
    ended.refused(1);
    assert!(
        !desk
            .listing("models")
            .iter()
            .any(|name| name.ends_with(".onnx"))
    );
    desk.say("models path googlenet").refused(1);
    desk.say("inspect --model googlenet").refused(1);
}

#[test]
fn without_a_connection_it_says_where_the_file_belongs() {
    // A port that nobody listens on any more.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let desk = Desk::new().with("ELUCID_MODELS_URL", format!("http://{address}"));
    let message = desk.say("models pull googlenet --quiet").refused(1);
    let place = desk.path("models/googlenet-12.onnx").display().to_string();
    assert!(message.contains(&place), "{message}");
    desk.say("models pull unheard-of").refused(1);
}

#[test]
fn pull_downloads_a_known_model_that_is_missing() {
    let desk = Desk::new().with("ELUCID_MODELS_URL", serve(b"not the network"));
    let ended = desk.say("classify cat.png --model googlenet --pull");
    let place = desk.path("models").display().to_string();
    let remark = format!("pulling googlenet-12 (28 MB) into {place}\n");
    assert!(ended.err.contains(&remark), "{}", ended.err);
    ended.refused_with(1, &["15 bytes instead of 28021836"]);
    let kept = desk.listing("models");
    assert!(!kept.iter().any(|name| name.ends_with(".onnx")), "{kept:?}");

    // What needs no download asks for none: here nobody answers.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let desk = Desk::new().with("ELUCID_MODELS_URL", format!("http://{}", gone.unwrap()));
    desk.say("inspect --pull").ok();
    desk.say("inspect --pull --model squeezenet").ok();
    std::fs::write(desk.path("net.onnx"), squeezenet()).unwrap();
    desk.say("inspect --pull --model net.onnx").ok();
    desk.say("inspect --pull --model googlnet")
        .refused_with(1, &["googlenet-12"]);
    let message = desk
        .say("inspect --pull --model googlenet --quiet")
        .refused(1);
    let place = desk.path("models/googlenet-12.onnx").display().to_string();
    assert!(message.contains(&place), "{message}");

    // Without it the error says how to get the model.
    let message = desk.say("inspect --model googlenet").refused(1);
    assert!(
        message.contains("elucid models pull googlenet-12"),
        "{message}"
    );
    assert!(message.contains("--pull"), "{message}");

    // A file in a folder that nobody named is not taken for it, wherever the program is started.
    for folder in ["../shared/models", "shared/models", "models/models"] {
        std::fs::create_dir_all(desk.path(folder)).unwrap();
        std::fs::write(desk.path(folder).join("googlenet.onnx"), squeezenet()).unwrap();
    }
    desk.say("inspect --model googlenet").refused(1);

    // A file that lies in another folder is taken as it is.
    std::fs::create_dir_all(desk.path("assets/models")).unwrap();
    std::fs::write(desk.path("assets/models/googlenet.onnx"), squeezenet()).unwrap();
    let assets = desk.path("assets").display().to_string();
    let desk = desk.with("ELUCID_ASSETS", assets);
    desk.say("inspect --pull --model googlenet").ok();
}
