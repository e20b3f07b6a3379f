//! A page of the browser as a test drives it: through the DevTools protocol, over the web socket that the browser opens for that.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::PATIENCE;

/// One tab.
pub(crate) struct Tab {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    calls: u64,
    /// What scripts threw, and what the browser refused or could not load.
    complaints: Vec<String>,
}

impl Tab {
    /// Opens an empty tab of the browser that is driven at this port.
    pub(super) async fn open(port: u16) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let tab: Value = serde_json::from_str(
            &client
                .put(format!("http://127.0.0.1:{port}/json/new?about:blank"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
        )
        .unwrap();
        let url = tab["webSocketDebuggerUrl"].as_str().unwrap();
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("the browser takes a connection");
        let mut tab = Self { socket, calls: 0, complaints: Vec::new() };
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab
    }

    /// Calls a method of the protocol.
    ///
    /// # Panics
    /// When the browser refuses it.
    pub(crate) async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.try_call(method, parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.calls += 1;
        let id = self.calls;
        let message = json!({"id": id, "method": method, "params": parameters});
        self.socket.send(Message::text(message.to_string())).await.expect("the browser listens");
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let message = message.unwrap_or_else(|_| panic!("{method}: the browser does not answer"));
            let Message::Text(text) = message.expect("the browser runs").unwrap() else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].take()),
                };
            }
            self.hear(&message);
        }
    }

    fn hear(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                let entry = &parameters["entry"];
                self.complaints.push(format!("{}: {} {}", entry["source"], entry["text"], entry["url"]));
            }
            _ => {}
        }
    }

    /// What the browser complained of since the last question, but for answers with an error status, which the page deals with.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let complaints = std::mem::take(&mut self.complaints);
        complaints.into_iter().filter(|complaint| !complaint.starts_with("\"network\"")).collect()
    }

    /// Goes to an address and waits until its page, or the one that asks for a key before it, has drawn a heading.
    pub(crate) async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await;
        let is_there = format!("location.href.startsWith({}) || location.pathname === '/sign-in'", json!(url));
        self.until(&format!("({is_there}) && document.querySelector('h1')")).await;
    }

    /// What an expression of JavaScript gives; a promise is waited for.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression gives something that is true, and returns it. The page may be loaded anew meanwhile.
    pub(crate) async fn until(&mut self, expression: &str) -> Value {
        let look = format!(
            "new Promise((resolve) => {{
                 const ends = Date.now() + 2000;
                 const look = () => {{
                     const found = ({expression});
                     if (found || Date.now() > ends) resolve(found instanceof Node ? true : found);
                     else setTimeout(look, 40);
                 }};
                 look();
             }})"
        );
        let parameters = json!({"expression": look, "awaitPromise": true, "returnByValue": true});
        let started = Instant::now();
        loop {
            let result = self.try_call("Runtime.evaluate", parameters.clone()).await.unwrap_or_default();
            let value = &result["result"]["value"];
            if !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != 0 {
                return value.clone();
            }
            if started.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText").await;
                panic!("never true: {expression}\n{result}\nthe page says: {page}\n{:?}", self.complaints);
            }
        }
    }

    /// Waits until the page shows a text.
    pub(crate) async fn until_it_says(&mut self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Clicks with the mouse in the middle of the first element that fits a selector.
    pub(crate) async fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        self.until(&format!("document.querySelector({selector})")).await;
        self.click_element(&format!("document.querySelector({selector})")).await;
    }

    /// The same for the button or link that says this.
    pub(crate) async fn press(&mut self, text: &str) {
        let element = format!(
            "[...document.querySelectorAll('button, a')].filter((element) => element.innerText.trim() === {}).at(-1)",
            json!(text)
        );
        self.until(&element).await;
        self.click_element(&element).await;
    }

    async fn click_element(&mut self, element: &str) {
        let place = format!(
            "(() => {{ const element = {element}; element.scrollIntoView({{block: 'center'}});
                const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = self.value(&place).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Puts a text into a field as if it was typed.
    pub(crate) async fn fill(&mut self, selector: &str, text: &str) {
        let selector = json!(selector);
        self.until(&format!("document.querySelector({selector})")).await;
        self.value(&format!(
            "(() => {{ const field = document.querySelector({selector}); field.focus(); field.select?.(); }})()"
        ))
        .await;
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Chooses an option.
    pub(crate) async fn choose(&mut self, selector: &str, value: &str) {
        let (selector, value) = (json!(selector), json!(value));
        self.until(&format!("document.querySelector({selector})")).await;
        let change = "new Event('change', {bubbles: true})";
        self.value(&format!(
            "(() => {{ const field = document.querySelector({selector}); field.value = {value}; field.dispatchEvent({change}); }})()"
        ))
        .await;
    }

    /// Drops a file with this name and these bytes onto an element.
    pub(crate) async fn drop_file(&mut self, selector: &str, name: &str, bytes: &[u8]) {
        let (selector, name, bytes) = (json!(selector), json!(name), json!(STANDARD.encode(bytes)));
        self.until(&format!("document.querySelector({selector})")).await;
        self.value(&format!(
            "(() => {{
                 const bytes = Uint8Array.from(atob({bytes}), (character) => character.charCodeAt(0));
                 const data = new DataTransfer();
                 data.items.add(new File([bytes], {name}));
                 const event = (type) => new DragEvent(type, {{dataTransfer: data, bubbles: true, cancelable: true}});
                 const place = document.querySelector({selector});
                 place.dispatchEvent(event('dragover'));
                 place.dispatchEvent(event('drop'));
             }})()"
        ))
        .await;
    }

    /// Presses a key, such as `Tab` or `Enter`.
    pub(crate) async fn key(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "ArrowRight" => (39, None),
            other => panic!("the key {other} is not known here"),
        };
        let mut event = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if let Some(text) = text {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", event).await;
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// The size of the window, and the colours that the user prefers.
    pub(crate) async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        self.call("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of the page from its top, at most this high before it is scaled, as PNG.
    pub(crate) async fn picture(&mut self, highest: u64, scale: f64) -> Vec<u8> {
        let size = self.value("[innerWidth, document.documentElement.scrollHeight]").await;
        let height = size[1].as_u64().unwrap().min(highest);
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": scale});
        let parameters = json!({"format": "png", "clip": clip, "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", parameters).await;
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }
}
