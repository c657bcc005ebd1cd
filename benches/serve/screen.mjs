// From a posted image to its picture on the line's screen, beyond decoding and scoring: milliseconds, p50 and p95.
//
//   node benches/serve/screen.mjs CHROMIUM BLEMISH [IMAGES]
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, pause, until } from "../../crates/blemish-report/tests/browser.mjs";
import { goodParts, part } from "../../crates/blemish-serve/tests/parts.mjs";

const [chromium, program, count = "40"] = process.argv.slice(2);
if (!program) {
  console.log("usage: node benches/serve/screen.mjs CHROMIUM BLEMISH [IMAGES]");
  process.exit(2);
}
const root = mkdtempSync(join(tmpdir(), "screen-"));
mkdirSync(join(root, "good"));
goodParts(join(root, "good"), 30);
const model = join(root, "line.blemish");
assert.equal(spawnSync(program, ["fit", join(root, "good"), "-o", model, "--fast"]).status, 0);
const server = spawn(program, ["serve", `line=${model}`, "--station", join(root, "station"), "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
let told = "";
for (const stream of [server.stdout, server.stderr]) stream.on("data", (text) => { told += text; });
const address = await until("the server", () => told.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0]);
await until("the model", async () => (await fetch(`${address}/readyz`)).ok, 60);

const browser = new Browser(chromium), page = await browser.open(address + "/?view=line");
await page.until("news", "document.getElementById('live').dataset.state === 'on'");
// The page itself notes when a picture has been drawn: asking it from outside would take longer than what is measured.
await page.value(`(() => { globalThis.drawn = []; let last; const look = () => { const box = document.querySelector(".box"), image = box?.querySelector("img");
  if (!box?.hidden && image?.complete && image.naturalWidth && box.dataset.image !== last) { last = box.dataset.image; drawn.push(Date.now()); } requestAnimationFrame(look); }; look(); })()`);
const took = [];
for (let index = 0; index < Number(count); index++) {
  const body = part(160, 160, 2000 + index), posted = Date.now();
  const verdict = await (await fetch(`${address}/v1/models/line/score`, { method: "POST", body })).json();
  const shown = await until("the picture", () => page.value(`drawn[${index}]`));
  took.push(shown - posted - verdict.milliseconds.decode - verdict.milliseconds.score);
  await pause(300);
}
took.sort((a, b) => a - b);
console.log(`${took.length} images: p50 ${took[took.length >> 1].toFixed(0)} ms, p95 ${took[Math.floor(0.95 * took.length)].toFixed(0)} ms`);
await browser.close();
server.kill("SIGTERM");
await new Promise((settle) => server.on("exit", settle));
rmSync(root, { recursive: true, force: true });
