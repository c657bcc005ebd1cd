// Opens a report in headless Chromium at desktop and phone width, light and dark, moves the slider by keyboard, and watches what changes.
//
//   node crates/blemish-report/tests/browse.mjs CHROMIUM REPORT.html [FOLDER-FOR-SCREENSHOTS]
//
// Prints what it saw as JSON and fails at the first thing that is wrong. It speaks Chromium's own protocol over a pipe, so it needs
// nothing but Node and Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [program, report, folder] = process.argv.slice(2);
const address = pathToFileURL(resolve(report)).href;
const profile = mkdtempSync(join(tmpdir(), "report-"));
const chromium = spawn(program, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe", `--user-data-dir=${profile}`,
  "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const [, , , input, output] = chromium.stdio;
const waiting = new Map(), events = [];
let number = 0, rest = "";

output.setEncoding("utf8");
output.on("data", (text) => {
  const messages = (rest + text).split("\0");
  rest = messages.pop();
  for (const message of messages.map((one) => JSON.parse(one))) {
    if (message.id) waiting.get(message.id)(message);
    else events.push(message);
  }
});

async function send(method, params = {}, sessionId = undefined) {
  const id = ++number;
  const answer = new Promise((settle) => waiting.set(id, settle));
  input.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  const { result, error } = await answer;
  assert.ok(!error, `${method}: ${JSON.stringify(error)}`);
  return result;
}

async function look(width, height, scheme, keys) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => send(method, params, sessionId);
  const value = async (expression) => (await page("Runtime.evaluate", { expression, returnByValue: true })).result.value;
  for (const domain of ["Page", "Network", "Runtime", "Log"]) await page(domain + ".enable");
  await page("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  await page("Page.navigate", { url: address });
  for (let tries = 0; (await value("document.readyState")) !== "complete"; tries++) {
    assert.ok(tries < 200, "the page does not load");
    await new Promise((go) => setTimeout(go, 50));
  }

  // What the page shows, and the same counted here from its scores.
  const shown = `Object.fromEntries(["tp", "fn", "fp", "tn", "recall", "alarms", "precision"].map((id) =>
    [id, document.getElementById(id).textContent]))`;
  const counted = `(() => {
    const data = JSON.parse(document.getElementById("scores").textContent), t = Number(document.getElementById("value").value);
    const above = (list) => list.filter((score) => data.strict ? score > t : score >= t).length, all = data.defects.flat();
    return { tp: above(all), fn: all.length - above(all), fp: above(data.good), tn: data.good.length - above(data.good) };
  })()`;
  const ring = `["roc-point", "pr-point"].map((id) => document.getElementById(id).getAttribute("cx"))`;
  const before = await value(shown), ringBefore = await value(ring);
  await value(`document.getElementById("slider").focus()`);
  for (let press = 0; press < keys.times; press++) {
    for (const type of ["keyDown", "keyUp"]) {
      await page("Input.dispatchKeyEvent", { type, key: keys.key, code: keys.key, windowsVirtualKeyCode: keys.code });
    }
  }
  const after = await value(shown), expected = await value(counted);
  assert.notDeepEqual(after, before, "the slider changes nothing");
  assert.notDeepEqual(await value(ring), ringBefore, "the operating point does not move");
  for (const [name, count] of Object.entries(expected)) assert.equal(Number(after[name]), count, name);
  await value(`document.getElementById("reset").click()`);
  assert.deepEqual(await value(shown), before, "the way back leads elsewhere");

  const wide = await value("document.documentElement.scrollWidth");
  assert.ok(wide <= width, `the page is ${wide} pixels wide on a screen of ${width}`);
  await value("[...document.images].forEach((image) => { image.loading = 'eager'; })");
  if (folder) {
    const { cssContentSize: size } = await page("Page.getLayoutMetrics");
    await page("Emulation.setDeviceMetricsOverride", { width, height: Math.ceil(size.height), deviceScaleFactor: 1, mobile: width < 600 });
    await new Promise((go) => setTimeout(go, 300));
    const { data } = await page("Page.captureScreenshot", { format: "png" });
    writeFileSync(join(folder, `${width}-${scheme}.png`), Buffer.from(data, "base64"));
  }
  const broken = "[...document.images].filter((image) => image.complete && image.naturalWidth === 0).length";
  assert.equal(await value(broken), 0, "pictures do not show");
  const mine = events.filter((event) => event.sessionId === sessionId);
  const requests = mine.filter((event) => event.method === "Network.requestWillBeSent").map((event) => event.params.request.url)
    .filter((url) => url !== address && !url.startsWith("data:"));
  assert.deepEqual(requests, [], "the page asks for more than itself");
  const trouble = mine.filter((event) => event.method === "Runtime.exceptionThrown" ||
    (event.method === "Log.entryAdded" && event.params.entry.level === "error"));
  assert.deepEqual(trouble.map((event) => event.params), [], "the page has errors");
  return { width, scheme, before, after };
}

let code = 0;
try {
  const right = { key: "ArrowRight", code: 39, times: 120 }, left = { key: "ArrowLeft", code: 37, times: 120 };
  const end = { key: "End", code: 35, times: 1 };
  const seen = [await look(1280, 900, "light", right), await look(390, 844, "light", left), await look(390, 844, "dark", end)];
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(String(error.stack ?? error));
  code = 1;
}
chromium.kill();
chromium.on("exit", () => {
  try {
    rmSync(profile, { recursive: true, force: true, maxRetries: 30 });
  } catch {
    // The browser's helpers may still write; what is left lies in the system's temporary folder.
  }
  process.exit(code);
});
