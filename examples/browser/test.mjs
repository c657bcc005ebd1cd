// The page in headless Chromium, served from here: it must find that it scores as the model does, and say so when it does not.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { Browser } from "../../crates/blemish-report/tests/browser.mjs";

const [chromium, ort, graph, selftest] = process.argv.slice(2);
const here = import.meta.dirname;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json", ".png": "image/png" };
// Scores of the second visit are not those of the model.
let isAltered = false;
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const file = path === "/" ? join(here, "index.html")
    : path === "/model.onnx" ? graph
    : path.startsWith("/ort/") ? join(ort, path.slice(5))
    : path.startsWith("/selftest/") ? join(selftest, path.slice(10))
    : join(here, path);
  try {
    let content = readFileSync(file);
    if (isAltered && path.endsWith("selftest.json")) {
      const test = JSON.parse(content);
      test.images[0].score += 1;
      content = JSON.stringify(test);
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "cache-control": "no-store" }).end(content);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((settle) => server.listen(0, "127.0.0.1", settle));
const address = `http://127.0.0.1:${server.address().port}/`;
const browser = new Browser(chromium);
try {
  let page = await browser.open(address);
  await page.until("the check", `document.getElementById("state").textContent !== "loading"`, 120);
  const said = await page.text("state");
  const rows = await page.value(`[...document.querySelectorAll("#checks tr")].map((row) => row.innerText)`);
  console.log(rows.join("\n"));
  assert.equal(said, "scores as the model does");
  assert.ok(rows.length >= 1 && rows.every((row) => row.includes("as the model")));
  // A picture of another size, by the file input's own path: the transform of the page against the graph's scores is what the pictures show.
  isAltered = true;
  page = await browser.open(address);
  await page.until("the check", `document.getElementById("state").textContent !== "loading"`, 120);
  assert.equal(await page.text("state"), "does NOT score as the model does");
  console.log("the page scores as the model does");
} finally {
  await browser.close();
  server.close();
}
