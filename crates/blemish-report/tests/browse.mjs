// Opens a report in headless Chromium at desktop and phone width, light and dark, moves the slider by keyboard, and watches what changes.
//
//   node crates/blemish-report/tests/browse.mjs CHROMIUM REPORT.html [FOLDER-FOR-SCREENSHOTS]
//
// Prints what it saw as JSON and fails at the first thing that is wrong. It needs nothing but Node
// and Chromium.
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser } from "./browser.mjs";

const [program, report, folder] = process.argv.slice(2);
const address = pathToFileURL(resolve(report)).href;
const browser = new Browser(program);

async function look(width, height, scheme, key, times) {
  const page = await browser.open(address, { width, height, scheme });
  const value = (expression) => page.value(expression);

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
  await page.press(key, times);
  const after = await value(shown), expected = await value(counted);
  assert.notDeepEqual(after, before, "the slider changes nothing");
  assert.notDeepEqual(await value(ring), ringBefore, "the operating point does not move");
  for (const [name, count] of Object.entries(expected)) assert.equal(Number(after[name]), count, name);
  await value(`document.getElementById("reset").click()`);
  assert.deepEqual(await value(shown), before, "the way back leads elsewhere");

  const wide = await value("document.documentElement.scrollWidth");
  assert.ok(wide <= width, `the page is ${wide} pixels wide on a screen of ${width}`);
  await value("[...document.images].forEach((image) => { image.loading = 'eager'; })");
  if (folder) await page.picture(join(folder, `${width}-${scheme}.png`), true);
  const broken = "[...document.images].filter((image) => image.complete && image.naturalWidth === 0).length";
  assert.equal(await value(broken), 0, "pictures do not show");
  assert.deepEqual(page.trouble(), [], "the page asks for more than itself, or has errors");
  return { width, scheme, before, after };
}

let code = 0;
try {
  const seen = [await look(1280, 900, "light", "ArrowRight", 120), await look(390, 844, "light", "ArrowLeft", 120), await look(390, 844, "dark", "End", 1)];
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(String(error.stack ?? error));
  code = 1;
}
await browser.close();
process.exit(code);
