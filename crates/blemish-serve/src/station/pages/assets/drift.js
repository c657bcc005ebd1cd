// What the monitor of a model has to say.
import { at, author, clock, complain, fill, notice, number, percent, sure, words } from "./dom.js";
import { get, post } from "./api.js";
import { keepDrawn, timeline } from "./chart.js";
import { on, soon } from "./events.js";
import { begin, modelChoice } from "./shell.js";

const signed = author();
const SYMBOLS = { off: "–", collecting: "…", quiet: "✓", moved: "!" };
const chart = keepDrawn(at("chart"));
let model = "", rate = null;

function told(now) {
  const title = { off: words.drift.none, collecting: words.drift.collecting, quiet: words.drift.calm, moved: words.drift.warned }[now.state] ?? now.state;
  at("state").dataset.state = now.state;
  at("state-word").textContent = `${SYMBOLS[now.state] ?? ""} ${title}`;
  at("state-words").textContent = now.words;
  at("watched").textContent = number(now.watched);
  at("aside").textContent = now.share_set_aside === null ? "–" : `${percent(now.share_set_aside)} (${number(now.set_aside)})`;
  const points = [...now.scores].reverse().filter((one) => one.p_value !== null).map((one) => ({ p: one.p_value, flagged: one.anomalous, id: one.id, title: clock(one.time) }));
  at("chart").closest("figure").hidden = !points.length;
  chart((width) => timeline(width, { points, threshold: rate, label: words.drift.chart }));
}

async function show() {
  at("work").hidden = !model;
  at("none").hidden = Boolean(model);
  if (!model) return;
  const [now, { models }] = await Promise.all([get(`/drift/${encodeURIComponent(model)}`), get("/models")]);
  const mine = models.find((one) => one.name === model);
  rate = mine?.versions.find((version) => version.key === mine.live)?.rate ?? null;
  told(now);
}

at("restart").addEventListener("click", async () => {
  if (!(await sure(fill(words.drift.restart_sure, { model }), words.drift.restart))) return;
  try {
    told(await post(`/drift/${encodeURIComponent(model)}/restart`, { author: signed() }));
    notice(words.drift.restarted);
  } catch (fault) {
    complain(fault);
  }
});
on("image", soon(() => show().catch(complain)));
for (const kind of ["drift", "again"]) on(kind, () => show().catch(complain));

try {
  const state = await begin();
  model = modelChoice(at("model"), (state.models ?? []).map((one) => one.name), "", (chosen) => { model = chosen; show().catch(complain); });
  await show();
} catch (fault) {
  complain(fault);
}
