// The station in headless Chromium, as its three people meet it.
//
//   node crates/blemish-serve/tests/station.mjs CHROMIUM BLEMISH [TEST,...] [FOLDER-FOR-SCREENSHOTS]
//
// Starts the program with folders of its own, prints what it saw and fails at the first thing that is wrong. Tests: first, uploads,
// overlay, threshold, versions, pick, login, hostile, screens.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, pause, until } from "../../blemish-report/tests/browser.mjs";
import { goodParts, part, withOrientation } from "./parts.mjs";

const [chromium, program, wanted, pictures] = process.argv.slice(2);
const root = mkdtempSync(join(tmpdir(), "station-"));
const servers = [];
let browser;

/** A server with a station of its own. */
async function serve(name, ...options) {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const process = spawn(program, ["serve", "--station", folder, "--listen", "127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "pipe"] });
  let told = "";
  for (const stream of [process.stdout, process.stderr]) stream.on("data", (text) => { told += text; });
  servers.push(process);
  const address = await until("the server", () => {
    assert.equal(process.exitCode, null, told);
    return told.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];
  });
  await until("the models", async () => (await fetch(`${address}/readyz`)).ok, 60);
  const ask = async (method, path, body) => {
    const isBytes = body instanceof Uint8Array;
    const answer = await fetch(address + path, { method, headers: { Origin: address, ...(isBytes || body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined || isBytes ? body : JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  const stop = () => new Promise((settle) => { process.on("exit", settle); process.kill("SIGTERM"); });
  return { folder, address, ask, stop, get: (path) => ask("GET", path), post: (path, body = {}) => ask("POST", path, body), said: () => told };
}

function run(...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `blemish ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** A model of n good parts. */
function fitted(name, n = 30, options = [], [width, height] = [160, 160]) {
  const folder = join(root, `${name}-good`);
  mkdirSync(folder, { recursive: true });
  goodParts(folder, n, width, height);
  const file = join(root, `${name}.blemish`);
  run("fit", folder, "-o", file, ...(options.length ? options : ["--fast"]));
  return file;
}

/** Posts a part under a name; gives the verdict. */
async function score(server, model, name, bytes, query = "") {
  const form = new FormData();
  form.append("image", new Blob([bytes]), name);
  const answer = await fetch(`${server.address}/v1/models/${model}/score${query}`, { method: "POST", body: form });
  const verdict = await answer.json();
  assert.ok(answer.ok, JSON.stringify(verdict));
  return verdict;
}

/** The centre of the n largest values of the map in a verdict, in shares of its width and height, and the largest one. */
function hottest({ width, data }, n) {
  const bytes = Buffer.from(data, "base64"), values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const height = values.length / width, places = Array.from(values.keys()).sort((a, b) => values[b] - values[a]).slice(0, n);
  const at = (place) => [(place % width + 0.5) / width, (Math.floor(place / width) + 0.5) / height];
  const mean = [0, 1].map((axis) => places.reduce((sum, place) => sum + at(place)[axis], 0) / n);
  return { mean, top: at(places[0]) };
}

const hidden = (id) => `document.getElementById("${id}").hidden`;
const spot = (x, y, radius = 10, value = 20) => ({ x, y, radius, value });
const keep = async (page, name) => { if (pictures) await page.picture(join(pictures, `${name}.png`), true); };

/** The row of the history of the image with that name. */
const recorded = (server, name) => until(`the row of ${name}`, async () => (await server.get("/v1/station/images?limit=100")).images.find((row) => row.name === name));

/** What a job has come to. */
async function done(server, request, seconds = 120) {
  const { id } = await server.post("/v1/station/jobs", request);
  const job = await until(`the end of job ${id}`, async () => {
    const job = await server.get(`/v1/station/jobs/${id}`);
    return ["done", "failed", "cancelled"].includes(job.state) && job;
  }, seconds);
  assert.equal(job.state, "done", JSON.stringify(job));
  return job;
}

const tests = {
  /** Empty folder, good images dropped, fit, live, two verdicts on the line, all without a reload. */
  async first() {
    const server = await serve("first");
    const page = await browser.open(server.address + "/");
    await page.value("globalThis.isSame = true");
    await page.until("the place to drop images", "Boolean(document.getElementById('new-drop'))");
    const folder = join(root, "dropped");
    mkdirSync(folder);
    await page.drop("new-drop", goodParts(folder, 30));
    await page.until("30 images", `!${hidden("new-ready")} && document.getElementById("new-told").innerText.startsWith("30 of 30")`, 60);
    await page.write("new-name", "part");
    await keep(page, "new");
    await page.press("Enter");
    await page.until("the model", `!${hidden("new-done")}`, 300);
    const bad = join(root, "bad.png");
    writeFileSync(bad, part(160, 160, 900, spot(60, 90)));
    await page.drop("new-try", [bad]);
    await page.until("the try", "document.querySelectorAll('#new-tried .badge.flagged').length === 1", 60);
    await keep(page, "tried");
    await page.focus("new-live");
    await page.press("Enter");
    await page.until("the line", "!document.getElementById('new') && !document.getElementById('line').hidden", 60);
    await score(server, "part", "good.png", part(160, 160, 901));
    await page.until("the verdict of the good image", "document.getElementById('band').dataset.verdict === 'good'");
    assert.equal(await page.text("word"), "Good");
    const defective = await score(server, "part", "defective.png", part(160, 160, 902, spot(110, 50)));
    assert.equal(defective.anomalous, true);
    await page.until("the verdict of the defective image", "document.getElementById('band').dataset.verdict === 'flagged' && document.querySelector('.box img')?.naturalWidth === 160");
    assert.equal(await page.text("word"), "Flagged");
    assert.match(await page.text("meaning"), /good images? scores? like this or worse/);
    await page.until("its map", "document.querySelector('.box canvas.map:not([hidden])')?.width > 0");
    assert.equal(await page.value("document.querySelectorAll('#strip button').length"), 2);
    await keep(page, "line");
    // Labels by key, and the way back to the one before.
    await pause(600);
    await page.press("d");
    await page.until("the label", "document.getElementById('label').innerText.includes('Defective')");
    assert.equal((await recorded(server, "defective.png")).label, "defective");
    await page.press("ArrowLeft");
    await page.until("the image before", "document.getElementById('band').dataset.verdict === 'good'");
    await page.press(" ");
    await page.until("the pause", "document.getElementById('pause').getAttribute('aria-pressed') === 'true'");
    assert.equal((await server.get("/v1/station/state")).paused, true);
    await page.press(" ");
    await until("going on", async () => !(await server.get("/v1/station/state")).paused);
    assert.equal(await page.value("globalThis.isSame"), true, "the page was loaded anew");
    assert.deepEqual(page.trouble(), []);
    await page.close();
    await server.stop();
  },

  /** Through a proxy that resets every fifth connection all images arrive once, and no old message stays. */
  async uploads() {
    const server = await serve("uploads"), target = new URL(server.address);
    let requests = 0, resets = 0;
    const proxy = http.createServer((request, answer) => {
      const isUnlucky = request.url.startsWith("/v1/station/uploads") && request.method === "POST" && ++requests % 5 === 0;
      // Half of the unlucky ones reach the server, whose answer is lost: the same file comes again.
      if (isUnlucky && ++resets % 2) return void request.socket.resetAndDestroy();
      const forward = http.request({ host: target.hostname, port: target.port, method: request.method, path: request.url,
        headers: { ...request.headers, host: target.host, ...(request.headers.origin ? { origin: server.address } : {}) } }, (response) => {
        if (isUnlucky) return void request.socket.resetAndDestroy();
        answer.writeHead(response.statusCode, { ...response.headers, connection: "close" });
        answer.flushHeaders();
        response.pipe(answer);
      });
      forward.on("error", () => answer.destroy());
      request.pipe(forward);
    });
    await new Promise((settle) => proxy.listen(0, "127.0.0.1", settle));
    const page = await browser.open(`http://127.0.0.1:${proxy.address().port}/new`);
    await page.until("the place to drop images", "document.getElementById('live').dataset.state === 'on'");
    const folder = join(root, "many");
    mkdirSync(folder);
    await page.drop("new-drop", goodParts(folder, 40, 64, 64));
    await page.until("40 images", `!${hidden("new-ready")} && document.getElementById("new-told").innerText === "40 of 40 arrived"`, 90);
    const set = new URL(await page.value("location.href")).searchParams.get("set");
    const held = await server.get(`/v1/station/uploads/${set}`);
    assert.equal(held.images, 40);
    assert.equal(new Set(held.files.map((file) => file.sha256)).size, 40);
    assert.ok(resets >= 8, `${resets} connections were reset`);
    assert.equal(await page.value("document.getElementById('new-failed').children.length"), 0, "a stale message stays");
    assert.equal(await page.value("document.querySelectorAll('.notice.bad').length"), 0);
    // A file that is no image fails by its name, and can be sent again on its own.
    const wrong = join(folder, "notes.txt");
    writeFileSync(wrong, "no picture");
    await page.drop("new-drop", [wrong]);
    await page.until("the refusal", "document.getElementById('new-failed').innerText.includes('notes.txt') && Boolean(document.querySelector('#new-failed button'))");
    assert.deepEqual(page.trouble(["ERR_", "Failed to load resource"]), []);
    await page.close();
    proxy.closeAllConnections();
    proxy.close();
    await server.stop();
  },

  /** The hottest place of the map lies where the server's map has it, and on the defect, at any window size, aspect, crop and turn. */
  async overlay() {
    const wide = [240, 160];
    const models = { plain: fitted("plain", 20), aspect: fitted("aspect", 20, ["--size", "320x192"], wide), crop: fitted("crop", 20, ["--size", "256x256", "--crop", "192x192"]) };
    const server = await serve("overlay", ...Object.entries(models).map(([name, file]) => `${name}=${file}`));
    const seen = [];
    const blank = await browser.open("about:blank");
    // Cameras write JPEG files with the tag; the browser's own encoder makes them here.
    const jpeg = async (bytes) => Buffer.from(await blank.value(`(async () => {
      const image = await createImageBitmap(await (await fetch("data:image/png;base64,${bytes.toString("base64")}")).blob());
      const canvas = new OffscreenCanvas(image.width, image.height);
      canvas.getContext("2d").drawImage(image, 0, 0);
      const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.98 });
      return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
    })()`), "base64");
    const cases = [["plain", 160, 160, spot(104, 56, 6, 60), false], ["aspect", ...wide, spot(168, 56, 6, 60), false], ["crop", 160, 160, spot(96, 64, 6, 60), false],
      ["plain", 160, 160, spot(104, 56, 6, 60), true], ["aspect", ...wide, spot(168, 56, 6, 60), true]];
    for (const [model, width, height, where, turned] of cases) {
      const name = `${model}${turned ? "-turned.jpg" : ".png"}`, file = part(width, height, 700, where, turned);
      const verdict = await score(server, model, name, turned ? withOrientation(await jpeg(file), 6) : file, "?map=f32");
      assert.deepEqual(verdict.size, [height, width], `${name} is not upright`);
      const row = await recorded(server, name), { frame } = row.verdict;
      for (const [wide, high] of [[1280, 800], [820, 1100], [390, 844]]) {
        const image = await browser.open(`${server.address}/image/${row.id}`, { width: wide, height: high });
        await image.until("the map", "document.querySelector('.box canvas.map:not([hidden])')?.width > 0");
        // Where the page shows the picture, and the places of the screen where the map is hottest there.
        const shown = await image.value(`(() => {
          const canvas = document.querySelector(".box canvas.map"), picture = document.querySelector(".box img");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const map = canvas.getBoundingClientRect(), box = picture.getBoundingClientRect(), hot = [];
          let top = 0;
          for (let place = 3; place < data.length; place += 4) top = Math.max(top, data[place]);
          for (let place = 3; place < data.length; place += 4) {
            if (data[place] < top) continue;
            const pixel = (place - 3) / 4;
            hot.push([map.left + (pixel % canvas.width + 0.5) / canvas.width * map.width, map.top + (Math.floor(pixel / canvas.width) + 0.5) / canvas.height * map.height]);
          }
          return { hot, left: box.left, top: box.top, width: box.width, height: box.height };
        })()`);
        assert.ok(Math.abs(shown.width / shown.height - width / height) < 0.02, `${name} is stretched`);
        const scale = shown.width / width, apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
        const onScreen = (x, y) => [shown.left + x * scale, shown.top + y * shown.height / height];
        const inFrame = ([x, y]) => onScreen(frame.x + x * frame.width, frame.y + y * frame.height);
        // The server's own map, which knows nothing of pictures and pages, says where that must be.
        const { mean, top } = hottest(verdict.map, shown.hot.length);
        const centre = [0, 1].map((axis) => shown.hot.reduce((sum, place) => sum + place[axis], 0) / shown.hot.length);
        const offMean = apart(centre, inFrame(mean)), offTop = Math.min(...shown.hot.map((place) => apart(place, inFrame(top))));
        const offDefect = apart(centre, onScreen(where.x, where.y)) / scale;
        seen.push({ model, turned, wide, hot: shown.hot.length, offMean: Number(offMean.toFixed(2)), offTop: Number(offTop.toFixed(2)), scale: Number(scale.toFixed(2)),
          offDefect: Number(offDefect.toFixed(2)) });
        assert.ok(offMean < 2 && offTop < 2, `${name} at ${wide}: the hottest place lies ${offMean} and ${offTop} pixels of the screen from where the server's map has it`);
        // How well a map knows a place is the model's affair: patches are 16 pixels of its input apart.
        assert.ok(offDefect < 4.5, `${name} at ${wide}: ${offDefect} pixels of the image off the defect`);
        await image.close();
      }
    }
    await blank.close();
    await server.stop();
    return seen;
  },

  /** The handle by keyboard: counts as the server's, applied, undone. */
  async threshold() {
    const file = fitted("line", 40);
    const server = await serve("threshold", `line=${file}`);
    const strengths = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 5, 6, 8, 10];
    for (const [index, radius] of strengths.entries()) await score(server, "line", `p${index}.png`, part(160, 160, 300 + index, radius ? spot(40 + 5 * index, 80, radius) : null));
    const last = await recorded(server, `p${strengths.length - 1}.png`);
    const { images } = await server.get("/v1/station/images?limit=100");
    for (const [index, row] of images.entries()) if (index % 2) await server.post(`/v1/station/images/${row.id}/label`, { label: index < 6 ? "defective" : "good", author: "test" });
    const page = await browser.open(server.address + "/threshold");
    await page.until("the handle", "Boolean(document.querySelector('.handle[aria-valuetext]'))");
    const told = () => page.value(`Object.fromEntries(["flagged", "found", "missed", "alarms", "passed"].map((id) => [id, Number(document.getElementById(id).innerText.replaceAll(",", ""))]))`);
    const before = await server.get("/v1/station/threshold/line");
    await page.value("document.querySelector('.handle').focus()");
    await page.press("Home");
    const steps = Math.min(20, before.positions.length);
    for (let step = 0; step < steps; step++) {
      const now = Number(await page.value("document.querySelector('.handle').getAttribute('aria-valuenow')"));
      const position = before.positions[before.positions.length - 1 - now];
      const dry = await server.post("/v1/models/line/threshold?dry_run=true", { threshold: position.threshold });
      assert.equal(dry.applied, false);
      assert.deepEqual(await told(), { flagged: dry.flagged, found: dry.defective.flagged, missed: dry.defective.of - dry.defective.flagged, alarms: dry.good.flagged,
        passed: dry.good.of - dry.good.flagged }, `at position ${step} of ${position.threshold}`);
      await page.press("ArrowRight", step < steps - 2 ? Math.max(1, Math.floor(before.positions.length / steps)) : 1);
    }
    await keep(page, "threshold");
    // All flagged: the next good image is, too.
    await page.press("Home");
    await page.write("author", "Ada");
    await page.write("reason", "a test of the handle");
    await page.press("Enter");
    await until("the change", async () => {
      const trouble = await page.value("document.querySelector('.notice.bad')?.innerText ?? ''");
      assert.equal(trouble, "");
      return page.value("document.getElementById('changes').children.length === 1");
    });
    const changed = await server.get("/v1/station/threshold/line");
    assert.ok(changed.threshold < before.threshold, "the threshold has not moved");
    assert.equal(changed.history[0].author, "Ada");
    const next = await score(server, "line", "next.png", part(160, 160, 399));
    assert.equal(next.anomalous, true);
    assert.ok(Math.abs(next.threshold - changed.threshold) < 1e-6 * Math.abs(changed.threshold));
    await page.value("document.getElementById('undo').click()");
    await page.until("the undoing", "[...document.querySelectorAll('.notice')].some((notice) => notice.innerText.includes('again'))");
    const after = await server.get("/v1/station/threshold/line");
    assert.equal(after.threshold, before.threshold);
    assert.equal((await score(server, "line", "then.png", part(160, 160, 399))).anomalous, false);
    assert.deepEqual(page.trouble(), []);
    assert.ok(last);
    await page.close();
    await server.stop();
  },

  /** What the line's labels teach: a new version in shadow, compared, live, rolled back, deleted; and the jobs that have no button. */
  async versions() {
    const file = fitted("versions", 40, ["--fast", "--updatable"]);
    const server = await serve("versions", `line=${file}`);
    await server.ask("PUT", "/v1/station/settings", { audit: 1, author: "Ada" });
    for (let index = 0; index < 24; index++) await score(server, "line", `v${index}.png`, part(160, 160, 1000 + index, index % 3 === 2 ? spot(40 + 4 * index, 80, 3 + index % 5) : null));
    const { images } = await server.get("/v1/station/images?limit=100");
    for (const row of images) await server.post(`/v1/station/images/${row.id}/label`, { label: Number(row.name.slice(1, -4)) % 3 === 2 ? "defective" : "good", author: "Ada" });
    // A flagged image that is good and was no part of the audit may be learnt.
    await server.ask("PUT", "/v1/station/settings", { audit: 0, author: "Ada" });
    const odd = await score(server, "line", "odd.png", part(160, 160, 1100, spot(80, 80, 8)));
    assert.equal(odd.anomalous, true);
    const row = await recorded(server, "odd.png");
    await server.post(`/v1/station/images/${row.id}/label`, { label: "good", author: "Ada" });

    const judged = (await done(server, { kind: "eval", model: "line" })).result;
    assert.ok(judged.image.auroc > 0.8, JSON.stringify(judged));

    // By the pages: learn, look at the shadow beside the live one, make it live, go back, delete.
    const page = await browser.open(server.address + "/models");
    const press = (text) => page.value(`[...document.querySelectorAll("main button")].find((button) => button.innerText === ${JSON.stringify(text)} && button.checkVisibility() && !button.disabled)?.click() ?? "pressed"`);
    await page.until("the button to learn", `[...document.querySelectorAll(".learn button")].some((button) => button.innerText === "Learn them" && !button.disabled)`);
    await press("Learn them");
    await page.until("the new version", "document.querySelectorAll('article.version').length === 2", 120);
    const models = async () => (await server.get("/v1/station/models")).models[0];
    const [first] = (await models()).versions.filter((version) => version.is_live);
    const second = (await models()).versions.find((version) => !version.is_live);
    assert.equal(second.made_by, "update");
    await page.until("the shadow", "[...document.querySelectorAll('.tag')].some((tag) => tag.innerText.includes('in shadow'))");
    // The page is there before the images are: it follows what both say.
    const compare = await browser.open(server.address + "/compare");
    for (let index = 0; index < 6; index++) await score(server, "line", `w${index}.png`, part(160, 160, 1200 + index, index % 2 ? spot(60, 60, 8) : null));
    await compare.until("six images said by both", "document.getElementById('n').innerText.includes('6')");
    const counts = await compare.value(`["both", "live", "candidate", "neither"].map((id) => Number(document.getElementById("n-" + id).innerText))`);
    assert.equal(counts.reduce((sum, n) => sum + n), 6);
    await keep(compare, "compare");
    await compare.value("document.getElementById('live-button').click()");
    await until("the second live", async () => (await models()).versions.find((version) => version.is_live).key === second.key);
    assert.deepEqual(compare.trouble(), []);
    await compare.close();
    // What it has learnt it lets pass.
    assert.ok((await score(server, "line", "again.png", part(160, 160, 1100, spot(80, 80, 8)))).score < odd.score);
    await page.until("the way back", `[...document.querySelectorAll("main button")].some((button) => button.innerText === "Roll back")`);
    await keep(page, "models");
    await press("Roll back");
    await until("the first live again", async () => (await models()).versions.find((version) => version.is_live).key === first.key);
    assert.equal((await score(server, "line", "back.png", part(160, 160, 1100, spot(80, 80, 8)))).score, odd.score);
    await page.until("what can be deleted", `[...document.querySelectorAll("main button")].some((button) => button.innerText === "Delete" && button.checkVisibility())`);
    await press("Delete");
    await page.until("the question", "Boolean(document.querySelector('dialog[open]'))");
    await page.value("document.querySelector('dialog[open] button.main').click()");
    await until("one version alone", async () => (await models()).versions.length === 1);

    // By labels and by the audit: two versions of other thresholds.
    const labelled = await done(server, { kind: "calibrate", model: "line", with: "labelled", by: "f1" });
    const audited = await done(server, { kind: "calibrate", model: "line", with: "audit", false_alarm: 0.1 });
    assert.equal((await models()).versions.length, 3, JSON.stringify([labelled, audited]));
    assert.ok((await models()).versions.some((version) => Math.abs(version.rate - 0.1) < 1e-9), "the rate of the audit is not that of a version");
    // A version that is gone teaches nothing.
    await assert.rejects(server.post("/v1/station/jobs", { kind: "update", model: "line", version: second.key }), /404.*no version|404.*there is no/);
    assert.deepEqual(page.trouble(), []);
    await page.close();
    await server.stop();
  },

  /** The oddest images of a set, and a method picked for it. */
  async pick() {
    const server = await serve("pick");
    const folder = join(root, "picked"), form = new FormData();
    mkdirSync(folder);
    for (const file of goodParts(folder, 24)) form.append("image", new Blob([readFileSync(file)]), file.split("/").pop());
    const { set } = await (await fetch(`${server.address}/v1/station/uploads`, { method: "POST", headers: { Origin: server.address }, body: form })).json();
    const odds = (await done(server, { kind: "suspects", set })).result;
    assert.ok(JSON.stringify(odds).includes("suspects"), JSON.stringify(odds));
    const { result } = await done(server, { kind: "pick", model: "picked", set, latency_ms: 1000 }, 1800);
    const { models } = await server.get("/v1/station/models");
    assert.deepEqual([models.length, models[0].versions.length, models[0].versions[0].made_by], [1, 1, "pick"], JSON.stringify(result));
    await server.stop();
    return { method: models[0].versions[0].method };
  },

  /** A token, asked for once; what its rights leave out is not shown. */
  async login() {
    const tokens = join(root, "tokens"), boss = "a".repeat(48), worker = "b".repeat(48);
    writeFileSync(tokens, `${boss} score,read,label,admin\n${worker} score,read,label\n`, { mode: 0o600 });
    const server = await serve("login", `line=${fitted("login", 16)}`, "--token-file", tokens);
    const page = await browser.open(server.address + "/models");
    await page.until("the form", "location.pathname === '/login' && document.readyState === 'complete'");
    const enter = async (token) => {
      await page.write("token", token);
      await page.press("Enter");
    };
    await enter("c".repeat(48));
    await page.until("the refusal", "document.querySelector('.notice.bad')?.innerText.includes('not known')");
    await keep(page, "login");
    await enter(worker);
    await page.until("the models", "location.pathname === '/models' && document.querySelectorAll('article.version').length === 1");
    assert.equal(await page.value("document.cookie"), "", "a script can read the cookie");
    const buttons = () => page.value("[...document.querySelectorAll('main button')].filter((button) => button.checkVisibility()).map((button) => button.innerText)");
    assert.deepEqual((await buttons()).filter((text) => ["Verify", "Delete", "Make live", "Roll back"].includes(text)), []);
    await page.go(server.address + "/settings");
    await page.until("the way out", `!${hidden("logout")}`);
    await page.value("document.getElementById('logout').click()");
    await page.until("the form again", "location.pathname === '/login' && document.readyState === 'complete'");
    await enter(boss);
    await page.until("a page", "location.pathname !== '/login' && document.getElementById('live')?.dataset.state === 'on'");
    await page.go(server.address + "/models");
    await page.until("all buttons", "[...document.querySelectorAll('main button')].some((button) => button.innerText === 'Verify' && button.checkVisibility())");
    assert.deepEqual(page.trouble(["401", "Failed to load resource"]), []);
    await page.close();
    await server.stop();
  },

  /** Names and notes are text. */
  async hostile() {
    const server = await serve("hostile", `line=${fitted("hostile", 16)}`);
    const name = "<img src=x onerror=alert(1)>.png", note = "<img src=x onerror=alert(2)><script>alert(3)</script>";
    await score(server, "line", name, part(160, 160, 500, spot(80, 80)));
    const row = await recorded(server, name);
    await server.post(`/v1/station/images/${row.id}/label`, { label: "defective", author: "<b>Eve</b>", note });
    for (const path of ["/", "/history", `/image/${row.id}`, "/threshold", "/drift", "/settings"]) {
      const page = await browser.open(server.address + path);
      await page.until("news", "document.getElementById('live').dataset.state === 'on'");
      await pause(500);
      assert.equal(await page.value("document.querySelectorAll('img[src=x], img[onerror], main script, main b b').length"), 0, path);
      if (path === "/" || path === "/history" || path.startsWith("/image/")) assert.ok(await page.value(`document.body.innerText.includes(${JSON.stringify(name)})`), `${path} does not show the name`);
      if (path.startsWith("/image/")) assert.ok(await page.value(`document.body.innerText.includes(${JSON.stringify(note)})`), "the note is not shown as it is");
      assert.deepEqual(page.trouble(), [], path);
      await page.close();
    }
    await server.stop();
  },

  /** No request to elsewhere, no error, nothing that scrolls sideways, text that can be read: every screen at several sizes, dark and light. */
  async screens() {
    const full = await serve("full", `line=${fitted("screens", 30)}`), empty = await serve("empty");
    for (let index = 0; index < 24; index++) {
      await score(full, "line", `part-${index}.png`, part(160, 160, 600 + index, index % 6 === 5 ? spot(40 + 4 * index, 100) : null));
    }
    const row = await recorded(full, "part-23.png");
    await full.post(`/v1/station/images/${row.id}/label`, { label: "defective", author: "Ada", note: "a deep scratch with a long explanation that has to be broken into several lines on a phone" });
    const paths = ["/", "/?view=line", "/history", "/threshold", "/models", "/new", "/compare", "/drift", "/settings", "/login"];
    // Each size and each scheme; every pair of them where pictures are kept.
    const some = [[1280, 800, "light"], [390, 844, "dark"], [360, 740, "light"]];
    const sizes = pictures ? [...some, [1280, 800, "dark"], [390, 844, "light"]] : some;
    let looks = 0;
    for (const [server, own] of [[full, [`/image/${row.id}`]], [empty, []]]) {
      for (const path of [...paths, ...own]) {
        for (const [width, height, scheme] of sizes) {
          const page = await browser.open(server.address + path, { width, height, scheme });
          if (path !== "/login") await page.until(`${path} to be ready`, "document.getElementById('live').dataset.state === 'on'");
          await pause(250);
          const wide = await page.value("document.documentElement.scrollWidth");
          assert.ok(wide <= width, `${path} is ${wide} pixels wide on a screen of ${width}: ${await page.value(wideElements(width))}`);
          assert.deepEqual(await page.value(CONTRASTS), [], `${path} at ${width}, ${scheme}`);
          assert.deepEqual(await page.value(NAMELESS), [], `${path}: controls without a name`);
          assert.deepEqual(page.trouble(), [], `${path} at ${width}, ${scheme}`);
          if (pictures && width !== 360) await page.picture(join(pictures, `${server === full ? "full" : "empty"}${path.replace(/\W+/g, "-").slice(0, 12)}-${width}-${scheme}.png`), !path.includes("view"));
          looks++;
          await page.close();
        }
      }
    }
    await Promise.all([full.stop(), empty.stop()]);
    return { looks };
  },
};

/** What sticks out on the right. */
const wideElements = (width) => `[...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > ${width} + 1 && !element.closest(".strip"))
  .slice(0, 4).map((element) => element.tagName + "#" + element.id + "." + element.className).join(" ")`;

/** Controls that a screen reader would call nothing. */
const NAMELESS = `[...document.querySelectorAll("button, a[href], input:not([type=hidden]), select")].filter((element) => element.checkVisibility() &&
  !(element.innerText?.trim() || element.getAttribute("aria-label") || element.title || element.labels?.length || element.querySelector("[aria-label], .unseen, title"))).map((element) => element.outerHTML.slice(0, 120))`;

/** Texts whose contrast with what is behind them is under 4.5 (3 for large ones), by the formula of WCAG 2.2. Disabled controls are exempt there. */
const CONTRASTS = `(() => {
  const colour = (text) => { const parts = text.match(/[\\d.]+/g).map(Number); return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 }; };
  const light = ([r, g, b]) => [r, g, b].map((value) => { const share = value / 255; return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => { for (let one = element; one; one = one.parentElement) { const { rgb, alpha } = colour(getComputedStyle(one).backgroundColor); if (alpha > 0.99) return rgb; }
    return colour(getComputedStyle(document.body).backgroundColor).rgb; };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || element.closest(":disabled, .unseen, .skip, option, script, noscript, .marks")) continue;
    const style = getComputedStyle(element), isDrawn = element instanceof SVGElement;
    let opacity = 1;
    for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
    const back = behind(isDrawn ? element.closest("svg").parentElement : element), { rgb } = colour(isDrawn ? style.fill : style.color);
    const front = rgb.map((value, place) => value * opacity + back[place] * (1 - opacity));
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a), ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize), isLarge = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) bad.push(element.tagName + "." + (element.className.baseVal ?? element.className) + " " + element.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
  }
  return bad.slice(0, 8);
})()`;

let code = 0;
try {
  browser = new Browser(chromium);
  // A pick fits several methods: minutes, so it is asked for by its name.
  const names = wanted && wanted !== "all" ? wanted.split(",") : Object.keys(tests).filter((name) => name !== "pick");
  for (const name of names) {
    assert.ok(tests[name], `there is no test ${name}; there are ${Object.keys(tests).join(", ")}`);
    const seen = await tests[name]();
    console.log(`${name}: ok${seen ? ` ${JSON.stringify(seen)}` : ""}`);
  }
} catch (error) {
  console.error(String(error.stack ?? error));
  code = 1;
}
await browser?.close();
for (const server of servers) if (server.exitCode === null) server.kill("SIGKILL");
rmSync(root, { recursive: true, force: true });
process.exit(code);
