//! Known models that are not on this machine yet.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use elucid::models::manifest::{self, Entry};
use elucid::models::{Cache, PullOptions, ResolveError, Stage, pull, resolve};

use crate::console::Console;
use crate::error::CliError;

/// Downloads the known model of this name unless it is on this machine. Whatever else is wrong with
/// the name is for whoever opens it to say.
pub fn ensure(name: &str, console: Console) -> Result<(), CliError> {
    match resolve(name) {
        Err(ResolveError::NotPulled { name, .. } | ResolveError::Damaged { name, .. }) => {
            let Some(entry) = manifest::by_name(name) else {
                return Ok(());
            };
            let cache = Cache::from_env()?;
            fetch(entry, cache.folder(), &PullOptions::from_env(), console).map(drop)
        }
        _ => Ok(()),
    }
}

/// Downloads the file of `entry` into `folder`, with a bar, and says where it lies.
pub fn fetch(
    entry: &Entry,
    folder: &Path,
    options: &PullOptions,
    console: Console,
) -> Result<PathBuf, CliError> {
    let megabytes = entry.bytes as f64 / 1e6;
    console.note(format!(
        "pulling {} ({megabytes:.0} MB) into {}",
        entry.name,
        folder.display()
    ));
    let bar = console.bytes(&entry.name);
    let pulled = pull(entry, folder, options, |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.received);
        bar.set_message(match progress.stage {
            Stage::Waiting => format!("{}, waiting for another download", entry.name),
            Stage::Downloading => entry.name.clone(),
            Stage::Verifying => format!("{}, verifying", entry.name),
        });
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    pulled.map_err(|error| CliError::Failure(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use elucid::models::{Embedded, sha256};
    use elucid::prelude::*;

    use super::*;

    /// Serves one file once, and gives the address of its folder.
    fn serve(body: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        });
        format!("http://{address}")
    }

    #[test]
    fn what_was_pulled_opens() {
        let body = Embedded::find("squeezenet").unwrap().bytes();
        let mut entry = manifest::by_name("googlenet").unwrap().clone();
        entry.bytes = body.len() as u64;
        entry.sha256 = sha256::of_bytes(body);
        let options = PullOptions {
            base_url: Some(serve(body)),
            ..PullOptions::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new");
        let path = fetch(&entry, &into, &options, Console::new(true)).unwrap();
        assert_eq!(path, into.join("googlenet-12.onnx"));
        let model = Model::open(&path, &elucid::device::cpu().device).unwrap();
        assert_eq!(model.classes().unwrap(), 1000);
        // The server is gone: what lies there is not asked for again.
        fetch(&entry, &into, &options, Console::new(true)).unwrap();
    }
}
