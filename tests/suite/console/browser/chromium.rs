//! A headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::css;
use crate::service::{Service, eventually};

/// A browser with one window. The processes end with this value.
pub struct Chromium {
    client: Client,
    base: String,
    axe: String,
    driver: Child,
}

/// Widths and colour schemes in which pages are checked.
const VIEWS: [(u32, &str); 2] = [(1280, "light"), (360, "dark")];

/// Opens everything on a page that can be opened: folds, and the first menu of a row.
const OPEN_ALL: &str = "document.querySelectorAll('details').forEach(fold => fold.open = true);\
                        document.querySelector('main [popover]')?.showPopover();";

/// Runs axe-core with the rules of WCAG 2.2 A and AA and of best practice, and returns what it found.
const RUN_AXE: &str = "const done = arguments[arguments.length - 1];\
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];\
    axe.run(document, {runOnly: {type: 'tag', values: tags}}).then(result => done(result.violations.map(\
        found => found.id + ': ' + found.nodes.map(node => node.html).join(' | '))), error => done(['' + error]));";

/// Returns the texts of the page that stand in a column narrower than six letters and higher than four lines.
const SQUASHED: &str = "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];\
    for (let text; text = texts.nextNode();) {\
        const range = document.createRange();\
        range.selectNodeContents(text);\
        const box = range.getBoundingClientRect(), style = getComputedStyle(text.parentElement);\
        const em = parseFloat(style.fontSize), line = parseFloat(style.lineHeight) || 1.2 * em;\
        if (box.width > 1 && box.width < 6 * em && box.height > 4.5 * line) found.push(text.data.trim());\
    }\
    return found.filter(text => text.length > 8);";

impl Chromium {
    pub async fn start(service: &Service) -> Self {
        // A process group of its own: a test that fails does not end the session, and the browser must end
        // nevertheless.
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut driver = driver.spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = "ChromeDriver was started successfully on port ";
        let port =
            lines.find_map(|line| line.split_once(started).map(|(_, port)| port.trim_end_matches('.').to_owned()));
        // Its later output must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let options = json!({"args": arguments, "binary": "/usr/bin/chromium"});
        let wanted = json!({"goog:chromeOptions": options}).as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{}", port.unwrap()))
            .await
            .unwrap();
        Self { client, base: service.url(), axe: axe_core(), driver }
    }

    /// Opens a page.
    pub async fn open(&self, address: &str) {
        self.client.goto(&format!("{}{address}", self.base)).await.unwrap();
    }

    /// Types into a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.client.wait().for_element(css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Clicks the first element of this selector.
    pub async fn click(&self, selector: &str) {
        self.client
            .wait()
            .for_element(css(selector))
            .await
            .unwrap_or_else(|error| panic!("{selector}: {error}"))
            .click()
            .await
            .unwrap();
    }

    /// Focuses the first element of this selector, and presses Enter.
    pub async fn press(&self, selector: &str) {
        let element = self.client.wait().for_element(css(selector)).await.unwrap();
        element.send_keys("\u{e007}").await.unwrap();
    }

    /// Opens the menu of the row that contains this text.
    pub async fn open_menu_of(&self, text: &str) {
        for row in self.client.find_all(css("tbody tr")).await.unwrap() {
            if row.text().await.unwrap().contains(text) {
                return row.find(css("button.dots")).await.unwrap().click().await.unwrap();
            }
        }
        panic!("no row contains {text}")
    }

    /// Returns the text that is visible on the page.
    pub async fn text(&self) -> String {
        self.text_of("main").await
    }

    /// Waits until the page shows this text: after a click the next page may still be on its way.
    pub async fn shows(&self, part: &str) {
        eventually(part, async || self.text().await.contains(part)).await;
    }

    /// Waits until the page does not show this text.
    pub async fn shows_no(&self, part: &str) {
        eventually(part, async || !self.text().await.contains(part)).await;
    }

    /// Returns the text of the first element of this selector. If the element belongs to a page that is being left, it
    /// is looked up again.
    pub async fn text_of(&self, selector: &str) -> String {
        let mut text = None;
        eventually(selector, async || {
            text = match self.client.find(css(selector)).await {
                Ok(element) => element.text().await.ok(),
                Err(_) => None,
            };
            text.is_some()
        })
        .await;
        text.unwrap()
    }

    /// Checks the page that is shown with axe-core.
    pub async fn check_present_with_axe(&self, what: &str) {
        self.client.execute(&self.axe, vec![]).await.unwrap();
        let found = self.client.execute_async(RUN_AXE, vec![]).await.unwrap();
        assert_eq!(found, json!([]), "{what}");
    }

    /// Returns the id of the element that has the focus.
    pub async fn focused(&self) -> Value {
        self.client.execute("return document.activeElement.id", vec![]).await.unwrap()
    }

    /// Opens a page in all views, closed and with everything opened, and checks it with axe-core. Checks also that it
    /// does not scroll sideways, and that no text is squashed.
    pub async fn check_with_axe(&self, address: &str) {
        for (width, scheme) in VIEWS {
            self.chromium("Emulation.setDeviceMetricsOverride", metrics(width)).await;
            let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            self.chromium("Emulation.setEmulatedMedia", features).await;
            self.open(address).await;
            for state in ["closed", "open"] {
                self.check_present_with_axe(&format!("{address}, {width} px, {scheme}, {state}")).await;
                self.client.execute(OPEN_ALL, vec![]).await.unwrap();
            }
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let overflow = self.client.execute(overflow, vec![]).await.unwrap();
            assert_eq!(overflow, json!(0), "{address} is wider than {width} px");
            let squashed = self.client.execute(SQUASHED, vec![]).await.unwrap();
            assert_eq!(squashed, json!([]), "{address}, {width} px: texts have no space");
        }
        self.chromium("Emulation.setDeviceMetricsOverride", metrics(1280)).await;
    }

    /// Ends the session.
    pub async fn end(self) {
        self.client.clone().close().await.unwrap();
    }

    async fn chromium(&self, command: &'static str, params: Value) {
        self.client.issue_cmd(DevTools { command, params }).await.unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
    }
}

fn metrics(width: u32) -> Value {
    json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
}

/// Returns the script of axe-core, which is a file of a Python package of the tests.
fn axe_core() -> String {
    // Located without an import, because the package imports others that are not installed.
    let find = "import importlib.util as all; \
                print(all.find_spec('axe_playwright_python').submodule_search_locations[0])";
    let output = Command::new(crate::service::python()).args(["-c", find]).output().unwrap();
    let folder = String::from_utf8(output.stdout).unwrap();
    std::fs::read_to_string(PathBuf::from(folder.trim()).join("axe.min.js")).expect("tests/run installs axe-core")
}

/// A command of the Chrome DevTools Protocol (chromedriver's `goog/cdp/execute`).
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (reqwest::Method, Option<String>) {
        let body = json!({"cmd": self.command, "params": self.params});
        (reqwest::Method::POST, Some(body.to_string()))
    }
}
