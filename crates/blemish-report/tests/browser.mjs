// Headless Chromium, driven over its pipe: nothing but Node and Chromium is needed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const pause = (ms) => new Promise((go) => setTimeout(go, ms));

/** Asks again until the answer is right; says what was wrong last. */
export async function until(what, ask, seconds = 30) {
  const end = Date.now() + 1000 * seconds;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error.message;
    }
    assert.ok(Date.now() < end, `${what} does not come: ${JSON.stringify(last)}`);
    await pause(50);
  }
}

const CODES = { Enter: 13, Escape: 27, " ": 32, End: 35, Home: 36, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40, Tab: 9 };

export class Browser {
  constructor(program) {
    this.profile = mkdtempSync(join(tmpdir(), "browser-"));
    this.process = spawn(program, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--hide-scrollbars", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--remote-debugging-pipe",
      `--user-data-dir=${this.profile}`, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const output = this.process.stdio[4];
    this.waiting = new Map();
    this.events = [];
    this.number = 0;
    let rest = "";
    output.setEncoding("utf8");
    output.on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages.map((one) => JSON.parse(one))) {
        if (message.id) this.waiting.get(message.id)?.(message);
        else this.events.push(message);
      }
    });
  }

  async send(method, params = {}, sessionId = undefined) {
    const id = ++this.number;
    const answer = new Promise((settle) => this.waiting.set(id, settle));
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    const { result, error } = await answer;
    this.waiting.delete(id);
    assert.ok(!error, `${method}: ${JSON.stringify(error)}`);
    return result;
  }

  /** A page at that address, loaded. */
  async open(address, { width = 1280, height = 800, scheme = "light" } = {}) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId, address);
    for (const domain of ["Page", "Network", "Runtime", "Log", "DOM"]) await page.send(domain + ".enable");
    await page.size(width, height);
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    await page.go(address);
    return page;
  }

  close() {
    return new Promise((settle) => {
      this.process.on("exit", () => {
        // The browser's helpers may still write; what is left lies in the system's temporary folder.
        try { rmSync(this.profile, { recursive: true, force: true, maxRetries: 30 }); } catch { /* As said. */ }
        settle();
      });
      this.process.kill();
    });
  }
}

class Page {
  constructor(browser, sessionId, targetId, address) {
    // A file has no origin: what is its own is the file alone.
    const home = address.startsWith("file:") ? address : new URL(address).origin;
    Object.assign(this, { browser, sessionId, targetId, home });
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  async size(width, height) {
    this.width = width;
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  async go(address) {
    await this.send("Page.navigate", { url: address });
    await until(`the page ${address}`, () => this.value(`document.readyState === "complete" && location.href !== ${JSON.stringify(address === "about:blank" ? "" : "about:blank")}`));
  }

  /** What an expression gives in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    assert.ok(!exceptionDetails, `${expression}: ${exceptionDetails?.exception?.description}`);
    return result.value;
  }

  /** The text of an element. */
  text(id) {
    return this.value(`document.getElementById(${JSON.stringify(id)})?.innerText.trim() ?? null`);
  }

  /** Waits until an expression is true in the page. */
  until(what, expression, seconds) {
    return until(what, () => this.value(expression), seconds);
  }

  /** Presses a key, as often as wanted. */
  async press(key, times = 1) {
    const isLetter = key.length === 1;
    const event = { key, code: isLetter && key !== " " ? `Key${key.toUpperCase()}` : key === " " ? "Space" : key, windowsVirtualKeyCode: CODES[key] ?? key.toUpperCase().charCodeAt(0) };
    for (let press = 0; press < times; press++) {
      await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event, text: key === "Enter" ? "\r" : isLetter ? key : undefined });
      await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    }
  }

  /** Writes into a field. */
  async write(id, text) {
    await this.value(`document.getElementById(${JSON.stringify(id)}).focus()`);
    await this.send("Input.insertText", { text });
  }

  focus(id) {
    return this.value(`document.getElementById(${JSON.stringify(id)}).focus()`);
  }

  /** Drops files on an element. */
  async drop(id, files) {
    const { x, y } = await this.value(`(() => { const box = document.getElementById(${JSON.stringify(id)}).getBoundingClientRect();
      return { x: box.left + box.width / 2, y: box.top + box.height / 2 }; })()`);
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) await this.send("Input.dispatchDragEvent", { type, x, y, data });
  }

  async picture(file, isWhole = false) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: isWhole });
    writeFileSync(file, Buffer.from(data, "base64"));
  }

  /** Requests to other origins, exceptions and errors of the console. `allowed` are texts of errors that a test brings about. */
  trouble(allowed = []) {
    const mine = this.browser.events.filter((event) => event.sessionId === this.sessionId);
    const strangers = mine.filter((event) => event.method === "Network.requestWillBeSent").map((event) => event.params.request.url)
      .filter((url) => url !== this.home && !url.startsWith(this.home + "/") && !url.startsWith(`blob:${this.home}`) && !url.startsWith("data:"));
    const errors = mine.filter((event) => event.method === "Runtime.exceptionThrown" || (event.method === "Log.entryAdded" && event.params.entry.level === "error") ||
      (event.method === "Runtime.consoleAPICalled" && event.params.type === "error")).map((event) => JSON.stringify(event.params));
    return [...strangers, ...errors.filter((error) => !allowed.some((text) => error.includes(text)))];
  }

  close() {
    return this.browser.send("Target.closeTarget", { targetId: this.targetId });
  }
}
