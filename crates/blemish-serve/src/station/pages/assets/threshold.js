// One handle on the scores: what the line would be told with another threshold, counted here while it moves, applied by the server.
import decide from "./decide.js";
import { at, atMost, author, complain, count, el, fill, notice, number, percent, short, when, words } from "./dom.js";
import { get, post } from "./api.js";
import { interval, keepDrawn, scoreAxis, thresholdChart } from "./chart.js";
import { on } from "./events.js";
import { begin, modelChoice } from "./shell.js";

const signed = author(at("author"));
const chart = keepDrawn(at("chart"));
let model = "", data = null, index = 0;

// Scores are single-precision numbers on the server; told as text they would differ from its own in the last digits.
const single = Math.fround;

/** The position of the model's own threshold; -1 if it is none of them. */
const current = () => data.positions.findIndex((position) => single(position.threshold) === single(data.threshold));

/** What the threshold at the handle tells apart. The server's dry run counts the same (a test). */
function counts() {
  const t = single(data.positions[index].threshold);
  const of = (label) => data.live.filter((one) => one.label === label).map((one) => one.score);
  const split = (scores) => ({ of: scores.length, flagged: decide.count(scores, t, true) });
  return { of: data.live.length, flagged: decide.count(data.live.map((one) => one.score), t, true), good: split(of("good")), defective: split(of("defective")) };
}

function tell() {
  const position = data.positions[index], now = counts();
  at("value").textContent = short(position.threshold);
  at("rate").textContent = atMost(position.rate);
  at("flagged").textContent = number(now.flagged);
  at("flagged-of").textContent = fill(words.threshold.flagged_of, { n: number(now.of) });
  at("found").textContent = number(now.defective.flagged);
  at("missed").textContent = number(now.defective.of - now.defective.flagged);
  at("alarms").textContent = number(now.good.flagged);
  at("passed").textContent = number(now.good.of - now.good.flagged);
  // The lowest position is the best that these images can promise.
  const best = index === 0 ? ` ${fill(words.threshold.best, { n: number(data.groups), rate: atMost(data.lowest_rate) })}.` : "";
  at("promise").textContent = `${fill(words.threshold.promised, { rate: atMost(position.rate) })}.${best}`;
  const isSame = single(position.threshold) === single(data.threshold);
  at("apply").disabled = at("reset").disabled = isSame;
  const handle = at("chart").querySelector(".handle");
  handle.setAttribute("transform", `translate(${at("chart").axis(position.threshold)} 0)`);
  handle.setAttribute("aria-valuemin", "0");
  handle.setAttribute("aria-valuemax", String(data.positions.length - 1));
  handle.setAttribute("aria-valuenow", String(data.positions.length - 1 - index));
  handle.setAttribute("aria-valuetext", `${atMost(position.rate)}, ${words.threshold.value.toLowerCase()} ${short(position.threshold)}: ${number(now.flagged)} ${at("flagged-of").textContent}`);
}

function move(to) {
  index = Math.max(0, Math.min(data.positions.length - 1, to));
  tell();
}

/** Rates fall from left to right, and the positions are sorted by rate: right is one position less. */
const STEPS = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: Infinity, End: -Infinity };

/** The position nearest to a place of the chart. */
function nearest(x) {
  let best = 0;
  data.positions.forEach((position, place) => {
    if (Math.abs(at("chart").axis(position.threshold) - x) < Math.abs(at("chart").axis(data.positions[best].threshold) - x)) best = place;
  });
  return best;
}

function draw() {
  chart((width) => {
    at("chart").axis = scoreAxis(data.calibration, data.live.map((one) => one.score), 8, width - 8);
    const drawing = thresholdChart(width, { ...data, label: words.threshold.handle }), handle = drawing.querySelector(".handle");
    handle.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step === undefined) return;
      event.preventDefault();
      move(index + step);
    });
    drawing.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      handle.focus();
      drawing.setPointerCapture(event.pointerId);
      const drag = (moved) => move(nearest(moved.clientX - drawing.getBoundingClientRect().left));
      drag(event);
      drawing.addEventListener("pointermove", drag);
      for (const end of ["pointerup", "pointercancel"]) drawing.addEventListener(end, () => drawing.removeEventListener("pointermove", drag), { once: true });
    });
    queueMicrotask(tell);
    return drawing;
  });
}

function changes() {
  at("changes").replaceChildren(...data.history.map((one) => el("li", {},
    el("b", { text: fill(words.threshold.from_to, { from: one.from === null || one.from === undefined ? "–" : short(one.from), to: one.to === null || one.to === undefined ? "–" : short(one.to) }) }),
    el("span", { class: "soft", text: ` ${when(one.time)} ${one.author ?? ""}` }), one.reason && el("p", { class: "note", text: one.reason }))));
  at("undo").disabled = !data.can_undo;
}

async function audit() {
  const told = await get(`/audit?model=${encodeURIComponent(model)}`);
  const line = (name, rate) => el("div", { class: "rate" }, el("b", { text: `${name} ${rate.rate === null || rate.rate === undefined ? "–" : percent(rate.rate)}` }),
    interval({ rate: null, ...rate }), el("span", { class: "soft", text: fill(words.threshold.interval, { low: percent(rate.low), high: percent(rate.high) }) }));
  at("audit").replaceChildren(...(told.answered
    ? [line(words.threshold.audit_false_alarm, told.false_alarms), line(words.threshold.audit_miss, told.misses), el("p", { class: "soft", text: told.words })]
    : [el("p", { class: "soft", text: fill(words.threshold.audit_none, { share: percent(told.share) }) })]));
}

async function show() {
  if (!model) {
    at("unset").hidden = false;
    at("unset").textContent = words.models.empty;
    return;
  }
  try {
    data = await get(`/threshold/${encodeURIComponent(model)}`);
  } catch (fault) {
    if (fault.code !== "not_calibrated") throw fault;
    at("work").hidden = true;
    at("unset").hidden = false;
    at("unset").textContent = [fault.message, fault.help].filter(Boolean).join("; ");
    return;
  }
  at("unset").hidden = true;
  at("work").hidden = false;
  data.calibration = data.calibration.map(single);
  data.live.forEach((one) => { one.score = single(one.score); });
  index = Math.max(0, current());
  at("now").textContent = data.threshold === null ? words.threshold.unset : `${short(data.threshold)}: ${data.promise}`;
  at("origin").textContent = data.origin;
  at("legend-n").textContent = count(words.common.images, data.live.length);
  draw();
  changes();
  await audit();
}

const path = () => `/v1/models/${encodeURIComponent(model)}/threshold`;

at("change").addEventListener("submit", async (event) => {
  event.preventDefault();
  const position = data.positions[index];
  try {
    const { threshold } = await post(path(), { threshold: position.threshold, author: signed(), reason: at("reason").value.trim() });
    at("reason").value = "";
    notice(fill(words.threshold.applied, { value: short(threshold) }));
    await show();
  } catch (fault) {
    complain(fault);
  }
});
at("undo").addEventListener("click", async () => {
  try {
    const { threshold } = await post(path() + "/undo", { author: signed() });
    notice(fill(words.threshold.undone, { value: short(threshold) }));
    await show();
  } catch (fault) {
    complain(fault);
  }
});
at("reset").addEventListener("click", () => {
  if (current() >= 0) move(current());
});
on("threshold", ({ model: which }) => which === model && show().catch(complain));
on("again", () => show().catch(complain));

try {
  const state = await begin();
  model = modelChoice(at("model"), (state.models ?? []).map((one) => one.name), "", (chosen) => { model = chosen; show().catch(complain); });
  await show();
} catch (fault) {
  complain(fault);
}
