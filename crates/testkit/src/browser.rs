//! A small W3C WebDriver client: a headless Chromium, driven through chromedriver.

use std::io::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

/// The key under which WebDriver hides the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character of their own.
pub mod key {
    pub const ESCAPE: &str = "\u{E00C}";
    pub const TAB: &str = "\u{E004}";
    pub const ENTER: &str = "\u{E007}";
    pub const PAGE_UP: &str = "\u{E00E}";
    pub const PAGE_DOWN: &str = "\u{E00F}";
    pub const HOME: &str = "\u{E011}";
    pub const END: &str = "\u{E010}";
    pub const LEFT: &str = "\u{E012}";
    pub const UP: &str = "\u{E013}";
    pub const RIGHT: &str = "\u{E014}";
    pub const DOWN: &str = "\u{E015}";
}

/// A running browser with one window. Dropping it ends the browser and its driver.
pub struct Browser {
    agent: ureq::Agent,
    session: String,
    /// Ended after the session.
    _driver: Driver,
    _profile: tempfile::TempDir,
}

struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often a driver is started that ends at once.
const STARTS: usize = 5;

impl Browser {
    /// Starts chromedriver and a browser with an empty profile.
    ///
    /// Without a chromedriver this says so and returns `None`, and panics when
    /// `ELUCID_REQUIRE_BROWSER=1`.
    pub fn start() -> Option<Self> {
        let Some(program) = find_driver() else {
            let message = "no chromedriver in CHROMEDRIVER or on the PATH";
            if std::env::var("ELUCID_REQUIRE_BROWSER").is_ok_and(|v| v == "1") {
                panic!("{message}, and ELUCID_REQUIRE_BROWSER is 1");
            }
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {message}; this test checked nothing"
            );
            return None;
        };
        let (driver, port) = launch(&program);

        let profile = tempfile::tempdir().unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .new_agent();
        let mut options = json!({ "args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            format!("--user-data-dir={}", profile.path().display()),
        ]});
        if let Ok(binary) = std::env::var("CHROMIUM") {
            options["binary"] = binary.into();
        }
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let base = format!("http://127.0.0.1:{port}/session");
        let session = exchange(&agent, "POST", &base, Some(&capabilities));
        let id = session["sessionId"].as_str().expect("a session id");
        let browser = Browser {
            agent,
            session: format!("{base}/{id}"),
            _driver: driver,
            _profile: profile,
        };
        // Without a display some versions open the page behind a window that has the focus.
        browser.devtools(
            "Emulation.setFocusEmulationEnabled",
            json!({ "enabled": true }),
        );
        Some(browser)
    }

    /// Loads a file by its `file://` address.
    pub fn open(&self, path: &Path) {
        let path = path.canonicalize().expect("the page exists");
        self.post(
            "url",
            json!({ "url": format!("file://{}", path.display()) }),
        );
    }

    /// Runs the body of a function in the page and returns its result.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.post(
            "execute/sync",
            json!({ "script": script, "args": arguments }),
        )
    }

    /// Runs the body of a function in the page and returns what it hands to its last argument, a function.
    pub fn run_async(&self, script: &str, arguments: Value) -> Value {
        self.post(
            "execute/async",
            json!({ "script": script, "args": arguments }),
        )
    }

    /// Sets the size of what the page sees, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Emulates a media feature such as `prefers-color-scheme`, and waits until the page shows it.
    pub fn emulate(&self, feature: &str, value: &str) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": feature, "value": value }] }),
        );
        self.settle();
    }

    /// Waits until nothing moves any more and no colour is on its way to another.
    pub fn settle(&self) {
        // Transitions begin with a frame, and one may follow the end of another.
        let script = "
            const done = arguments[arguments.length - 1];
            const settle = () => requestAnimationFrame(() => {
                const moving = document.getAnimations();
                if (moving.length === 0) return done();
                Promise.allSettled(moving.map((animation) => animation.finished)).then(settle);
            });
            settle();";
        self.run_async(script, json!([]));
    }

    /// One command of the Chrome DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Scrolls the `n`-th element that a CSS selector finds into view, and returns the point of the
    /// viewport that lies at these shares of its width and its height.
    pub fn point_in(&self, selector: &str, n: usize, across: f64, down: f64) -> (f64, f64) {
        let script = "
            const element = document.querySelectorAll(arguments[0])[arguments[1]];
            element.scrollIntoView({ block: 'center' });
            const box = element.getBoundingClientRect();
            return [box.left + box.width * arguments[2], box.top + box.height * arguments[3]];";
        let point = self.run(script, json!([selector, n, across, down]));
        let coordinate = |i: usize| point[i].as_f64().expect("a number").floor();
        (coordinate(0), coordinate(1))
    }

    /// The centre of a cell of a spatial page: view, side, `(row, column)` and the side's grid.
    pub fn cell_centre(
        &self,
        view: usize,
        side: usize,
        (row, column): (usize, usize),
        (rows, columns): (usize, usize),
    ) -> (f64, f64) {
        let share = |i: usize, count: usize| (i as f64 + 0.5) / count as f64;
        self.point_in(
            ".panel",
            2 * view + side,
            share(column, columns),
            share(row, rows),
        )
    }

    /// The map of a side of a spatial page: its height, its width, and its bytes, RGBA in row order.
    pub fn map(&self, view: usize, side: usize) -> (usize, usize, Vec<u8>) {
        // Read from a copy: the browser warns when a canvas that it accelerates is read often.
        let script = "
            const view = document.querySelectorAll('.view')[arguments[0]];
            const canvas = view.querySelectorAll('.map')[arguments[1]];
            const { width, height } = canvas;
            const copy = new OffscreenCanvas(width, height);
            const context = copy.getContext('2d', { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            return [height, width, [...context.getImageData(0, 0, width, height).data]];";
        let drawn = self.run(script, json!([view, side]));
        serde_json::from_value(drawn).expect("two sides and bytes")
    }

    /// Moves the mouse to a point of the viewport.
    pub fn hover(&self, x: f64, y: f64) {
        self.pointer("mouse", &[move_to(x, y)]);
    }

    /// Moves the mouse to a point of the viewport and clicks.
    pub fn click(&self, x: f64, y: f64) {
        self.pointer("mouse", &[move_to(x, y), press(), lift()]);
    }

    /// Taps a point of the viewport with a finger.
    pub fn tap(&self, x: f64, y: f64) {
        self.pointer("touch", &[move_to(x, y), press(), lift()]);
    }

    fn pointer(&self, kind: &str, actions: &[Value]) {
        self.post(
            "actions",
            json!({ "actions": [{
                "type": "pointer",
                "id": kind,
                "parameters": { "pointerType": kind },
                "actions": actions,
            }]}),
        );
    }

    /// Presses the keys of a text, one after the other, wherever the focus is.
    pub fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.post(
            "actions",
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }]}),
        );
    }

    /// Clicks the first element that a CSS selector finds.
    pub fn click_on(&self, selector: &str) {
        let element = self.post(
            "element",
            json!({ "using": "css selector", "value": selector }),
        );
        let id = element[ELEMENT].as_str().expect("an element");
        self.post(&format!("element/{id}/click"), json!({}));
    }

    /// The console and network log since the last call.
    pub fn log(&self) -> Vec<Value> {
        match self.post("se/log", json!({ "type": "browser" })) {
            Value::Array(entries) => entries,
            other => panic!("the log is {other}"),
        }
    }

    /// Addresses outside the page that it fetched from.
    pub fn fetched(&self) -> Vec<String> {
        let names = self.run(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)",
            json!([]),
        );
        let names: Vec<String> = serde_json::from_value(names).expect("a list of names");
        names
            .into_iter()
            .filter(|name| !name.starts_with("data:"))
            .collect()
    }

    /// The window as a PNG file.
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = exchange(
            &self.agent,
            "GET",
            &format!("{}/screenshot", self.session),
            None,
        );
        base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().expect("a picture"))
            .expect("base64")
    }

    fn post(&self, command: &str, body: Value) -> Value {
        exchange(
            &self.agent,
            "POST",
            &format!("{}/{command}", self.session),
            Some(&body),
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; killing the driver alone would leave it running.
        let _ = self.agent.delete(&self.session).call();
    }
}

fn move_to(x: f64, y: f64) -> Value {
    json!({ "type": "pointerMove", "duration": 0, "origin": "viewport", "x": x, "y": y })
}

fn press() -> Value {
    json!({ "type": "pointerDown", "button": 0 })
}

fn lift() -> Value {
    json!({ "type": "pointerUp", "button": 0 })
}

/// One exchange with the driver; a WebDriver error ends the test with its message.
fn exchange(agent: &ureq::Agent, method: &str, url: &str, body: Option<&Value>) -> Value {
    let response = match body {
        Some(body) => agent
            .post(url)
            .header("content-type", "application/json; charset=utf-8")
            .send(body.to_string()),
        None => agent.get(url).call(),
    };
    let text = response
        .and_then(|mut response| {
            let limit = 256 << 20;
            response
                .body_mut()
                .with_config()
                .limit(limit)
                .read_to_string()
        })
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let mut answer: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {url} answered {text}"));
    let value = answer["value"].take();
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        panic!("{method} {url}: {error}: {}", value["message"]);
    }
    value
}

fn find_driver() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMEDRIVER") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(format!("chromedriver{}", std::env::consts::EXE_SUFFIX)))
        .find(|program| program.is_file())
}

/// Starts the driver, and says on which port it listens. It takes one that is free, and ends where another took it, too,
/// before it could listen.
fn launch(program: &Path) -> (Driver, u16) {
    for _ in 0..STARTS {
        let mut driver = Driver(
            Command::new(program)
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display())),
        );
        if let Some(port) = read_port(&mut driver.0) {
            return (driver, port);
        }
    }
    panic!("{} said no port, {STARTS} times", program.display())
}

/// The driver says on which free port it listens.
fn read_port(driver: &mut Child) -> Option<u16> {
    let output = driver.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    })?;
    // Later output is read and dropped, or the driver would stall on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some(port)
}
