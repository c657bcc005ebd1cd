// A candidate beside the live model, on the same images.
import { at, author, clock, complain, count, el, fill, notice, number, percent, words } from "./dom.js";
import { get, pageOf, post, query } from "./api.js";
import { keepDrawn, pairs } from "./chart.js";
import { on, soon } from "./events.js";
import { begin, may, modelChoice } from "./shell.js";
import { label, labelButtons, labelled, tag, thumb } from "./verdict.js";

const signed = author(at("author"));
const chart = keepDrawn(at("chart"));
let models = [], model = null, data = null;

function candidates() {
  const others = (model?.versions ?? []).filter((version) => !version.is_live);
  at("candidate").replaceChildren(...others.map((version) => el("option", { value: version.key, text: `${version.version}${version.is_shadow ? ` (${words.models.shadow})` : ""}` })));
  const wanted = new URLSearchParams(location.search).get("candidate");
  at("candidate").value = others.find((version) => version.key === wanted)?.key ?? others.find((version) => version.is_shadow)?.key ?? others[0]?.key ?? "";
  return others.length > 0;
}

function table() {
  const { both, live_only: live, candidate_only: candidate, neither } = data.flagged;
  for (const [id, n] of Object.entries({ both, live, candidate, neither })) at(`n-${id}`).textContent = number(n);
  at("n").textContent = count(words.compare.from, data.n);
  at("right").replaceChildren(...[["good", data.good], ["defective", data.defective]].filter(([, counts]) => counts.of).map(([kind, counts]) => el("p", {},
    tag(kind), ` ${words.compare.live.toLowerCase()} ${number(counts.live)}, ${words.compare.candidate.toLowerCase()} ${number(counts.candidate)} `, el("span", { class: "soft", text: `/ ${number(counts.of)}` }))));
}

function disagreement(pair) {
  const mark = (name, said) => el("span", { class: "soft", text: `${name}: ${said.anomalous ? `✕ ${words.verdict.flagged}` : `✓ ${words.verdict.good}`}, p ${said.p_value === null ? "–" : percent(said.p_value)}` });
  const give = async (value) => {
    try {
      await label(pair.id, value, signed());
      pair.label = value;
      notice(labelled(1, value));
      item.replaceWith(disagreement(pair));
    } catch (fault) {
      complain(fault);
    }
  };
  const item = el("li", { class: "card" }, el("a", { href: pageOf(pair.id), "aria-label": clock(pair.time) }, thumb({ id: pair.id, label: pair.label }, null)),
    el("div", {}, mark(words.compare.live, pair.live), mark(words.compare.candidate, pair.candidate), tag(pair.label), may("label") && el("div", { class: "row" }, labelButtons(give))));
  return item;
}

async function show(isNews = false) {
  const kept = at("candidate").value, hasCandidate = candidates();
  if (model?.versions.some((version) => version.key === kept && !version.is_live)) at("candidate").value = kept;
  at("none").hidden = hasCandidate;
  at("work").hidden = !hasCandidate;
  if (!hasCandidate) return;
  data = await get(`/compare/${encodeURIComponent(model.name)}${query({ candidate: at("candidate").value })}`);
  at("none").hidden = data.n > 0;
  table();
  const apart = data.pairs.filter((pair) => pair.live.anomalous !== pair.candidate.anomalous);
  // What somebody is about to press stays where it is.
  if (!isNews || !at("apart").matches(":hover, :focus-within")) at("apart").replaceChildren(...apart.slice(0, 60).map(disagreement));
  at("agree").hidden = apart.length > 0 || data.n === 0;
  const version = (key) => model.versions.find((one) => one.key === key);
  chart((width) => pairs(width, {
    points: data.pairs.filter((pair) => pair.live.p_value !== null && pair.candidate.p_value !== null).map((pair) => ({ x: pair.live.p_value, y: pair.candidate.p_value, disagrees: pair.live.anomalous !== pair.candidate.anomalous, id: pair.id, title: clock(pair.time) })),
    rates: [version(data.live.key)?.rate, version(data.candidate.key)?.rate], label: words.compare.chart, names: [words.compare.axis_x, words.compare.axis_y],
  }));
}

async function load() {
  models = (await get("/models")).models;
  model = models.find((one) => one.name === at("model").value) ?? models[0] ?? null;
  await show();
}

at("candidate").addEventListener("change", () => show().catch(complain));
at("live-button").addEventListener("click", async () => {
  try {
    await post(`/models/${encodeURIComponent(model.name)}/live`, { version: at("candidate").value, author: signed() });
    notice(fill(words.models.made_live, { version: at("candidate").selectedOptions[0].text }));
    await load();
  } catch (fault) {
    complain(fault);
  }
});
for (const kind of ["model", "again"]) on(kind, () => load().catch(complain));
const refresh = soon(() => show(true).catch(complain));
on("compared", ({ model: which }) => which === model?.name && refresh());

try {
  await begin();
  models = (await get("/models")).models;
  const withSome = models.find((one) => one.shadow) ?? models[0];
  modelChoice(at("model"), models.map((one) => one.name), withSome?.name, () => load().catch(complain));
  await load();
} catch (fault) {
  complain(fault);
}
