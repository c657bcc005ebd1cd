// The line: the last image, its verdict, and the strip of those before it.
import { at, author, clock, complain, day, el, fill, keys, notice, number, percent, words } from "./dom.js";
import { get, pageOf, post, query } from "./api.js";
import { on } from "./events.js";
import { Overlay } from "./overlay.js";
import { banner, begin, may, modelChoice } from "./shell.js";
import { badge, kind, label, labelled, meaning, regionList, scoreLine, tag, takeLabels, thumb } from "./verdict.js";

const KEPT = 30;
/** A label given so soon after the image changed may have been meant for the one before. */
const TOO_SOON = 500;

const overlay = new Overlay(at("stage"));
const signed = author();
let rows = [], place = 0, isFollowing = true, unseen = 0, changed = 0, model = "", today = null, isPaused = false, warned = null;

/** The image that is shown. */
const shown = () => rows[place];

function band(row) {
  const said = row?.verdict, what = said ? kind(said) : "none", place = at("band");
  const state = isPaused && isFollowing ? "paused" : what;
  place.dataset.verdict = state;
  at("word").textContent = isPaused && isFollowing ? words.verdict.paused : said ? words.verdict[what] : words.verdict.waiting;
  at("meaning").textContent = isPaused && isFollowing ? words.line.paused_note : said ? meaning(said) : "";
}

function details(row) {
  const said = row?.verdict;
  at("details").hidden = !said;
  if (!said) return;
  at("score").textContent = scoreLine(said);
  at("what").replaceChildren(el("b", { text: clock(row.time) }), ` ${row.name || row.source || row.origin || ""}`);
  at("which").textContent = `${said.model} ${said.version}`;
  at("regions").replaceChildren(regionList(said));
  at("label").replaceChildren(tag(row.label));
  at("open").hidden = !row.id;
  if (row.id) at("open").href = pageOf(row.id);
}

function draw() {
  const row = shown();
  band(row);
  details(row);
  if (row?.id) overlay.show(row); else if (!row) overlay.clear();
  at("newest").hidden = isFollowing;
  at("newest").textContent = unseen ? fill(words.line.newer, { n: unseen }) : words.line.newest;
  at("hint").hidden = Boolean(row);
  at("strip").replaceChildren(...rows.map((one, index) => el("button", {
    type: "button", "aria-current": index === place ? "true" : null, title: `${clock(one.time)} ${one.name}`,
    on: { click: () => go(index) },
  }, one.id ? thumb(one) : badge(one.verdict))));
}

function counts() {
  if (!today) return;
  at("share").textContent = today.images ? percent(today.flagged / today.images) : "–";
  at("of").textContent = `${number(today.flagged)} / ${number(today.images)}`;
  at("skipped").parentElement.hidden = !today.skipped;
  at("skipped").textContent = number(today.skipped);
}

/** Goes to an image of the strip. */
function go(index) {
  const next = Math.max(0, Math.min(rows.length - 1, index));
  if (next === place && (next > 0 || isFollowing)) return;
  place = next;
  isFollowing = place === 0;
  if (isFollowing) unseen = 0;
  changed = 0;
  draw();
}

const isMine = (said) => !model || said?.model === model;

/** A row of the history, or a verdict whose row will come. */
function take(row) {
  const known = rows.findIndex((one) => (row.id && one.id === row.id) || (!one.id && one.request === row.request));
  if (known >= 0) {
    rows[known] = { ...rows[known], ...row };
    if (known === place) changed ||= performance.now();
    return draw();
  }
  rows.unshift(row);
  rows.length = Math.min(rows.length, KEPT);
  if (isFollowing) {
    changed = performance.now();
  } else {
    place = Math.min(place + 1, rows.length - 1);
    unseen++;
  }
  draw();
}

async function give(value) {
  const row = shown();
  if (!row?.id || !may("label")) return;
  if (isFollowing && changed && performance.now() - changed < TOO_SOON && row.id !== warned && rows.length > 1) {
    warned = row.id;
    isFollowing = false;
    notice(words.label.just_changed);
    return draw();
  }
  try {
    const before = row.label, answer = await label(row.id, value, signed());
    take(answer);
    const undo = before && before !== value ? [words.common.undo, () => label(row.id, before, signed()).then(take).catch(complain)] : null;
    notice(`${clock(row.time)}: ${labelled(1, value)}`, { action: undo });
  } catch (fault) {
    complain(fault);
  }
}

function pause(isNow) {
  isPaused = isNow;
  at("pause").textContent = isPaused ? words.line.resume : words.line.pause;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  band(shown());
}

const togglePause = () => may("label") && post(isPaused ? "/resume" : "/pause").then(({ paused }) => pause(paused)).catch(complain);

function source(one) {
  banner(`source-${one.name}`, one.state === "failed" || one.error ? fill(words.line.source_trouble, one) : null, ["/settings", words.nav.settings]);
}

/** Everything anew: at the start, and when news may have been missed. */
async function refresh() {
  const [state, { images }] = await Promise.all([get("/state"), get("/images" + query({ limit: KEPT, model }))]);
  today = { ...state.today, day: day(Date.now() / 1000) };
  (state.sources ?? []).forEach(source);
  const current = shown()?.id;
  rows = images;
  place = isFollowing ? 0 : Math.max(0, rows.findIndex((row) => row.id === current));
  pause(state.paused);
  counts();
  draw();
}

async function empty() {
  const { mount } = await import("./new.js");
  at("line").hidden = true;
  at("line").before(at("first").content.cloneNode(true));
  mount(() => {
    at("new").remove();
    at("line").hidden = false;
    refresh().catch(complain);
  });
}

on("verdict", (said) => {
  if (!isMine(said)) return;
  const { origin, name, time, id, size, ...rest } = said;
  take({ request: id, time, name, size, source: origin, verdict: { ...rest, size } });
  if (!today) return;
  if (today.day !== day(time)) return void refresh().catch(complain);
  today.images++;
  today.flagged += said.anomalous ? 1 : 0;
  counts();
});
on("image", ({ data }) => isMine(data.verdict) && take(data));
on("label", ({ data }) => {
  rows.forEach((row) => { if (data.ids.includes(row.id)) row.label = data.label; });
  draw();
});
on("pause", ({ data }) => pause(data.paused));
on("source", ({ data }) => source(data));
on("again", () => refresh().catch(complain));

overlay.obey();
takeLabels(give);
keys({
  ArrowLeft: () => go(place + 1), ArrowRight: () => go(place - 1), End: () => go(0), Home: () => go(rows.length - 1), Escape: () => go(0),
  " ": togglePause,
});
at("newest").addEventListener("click", () => go(0));
at("pause").addEventListener("click", togglePause);
at("camera").addEventListener("click", async () => {
  const { openCamera } = await import("./camera.js");
  openCamera(at("camera-place"), model).catch(complain);
});

try {
  const state = await begin();
  const names = (state.models ?? []).map((one) => one.name);
  model = modelChoice(at("model"), ["", ...names], "", (chosen) => { model = chosen; isFollowing = true; refresh().catch(complain); });
  at("model").options[0].textContent = words.common.all;
  at("model").closest("label").hidden = names.length < 2;
  if (!names.length) at("camera").hidden = true;
  if (state.is_empty && may("admin")) await empty(); else await refresh();
} catch (fault) {
  complain(fault);
}
