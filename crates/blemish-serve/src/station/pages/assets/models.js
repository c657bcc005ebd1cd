// Models and their versions, and what the line's labels can teach them.
import { at, author, bytes, complain, count, el, fill, notice, sure, when, words } from "./dom.js";
import { ask, get, post } from "./api.js";
import { on } from "./events.js";
import { begin, isOver, jobBox, may } from "./shell.js";

const signed = author(at("author"));
const path = (model) => `/models/${encodeURIComponent(model.name)}`;

/** A button that acts on a version and shows everything anew. */
const button = (text, act, { main = false } = {}) => el("button", { type: "button", class: main ? "main" : null, text, on: { click: async (event) => {
  event.target.disabled = true;
  try { await act(); await show(); } catch (fault) { complain(fault); } finally { event.target.disabled = false; }
} } });

function acts(model, version) {
  const body = { version: version.key, author: signed() };
  if (!may("admin")) return [];
  return [
    !version.is_live && button(words.models.make_live, async () => { await post(`${path(model)}/live`, body); notice(fill(words.models.made_live, version)); }, { main: version.is_shadow }),
    !version.is_live && !version.is_shadow && model.live && button(words.models.make_shadow, async () => { await post(`${path(model)}/shadow`, body); notice(fill(words.models.in_shadow, version)); }),
    version.is_shadow && button(words.models.stop_shadow, () => post(`${path(model)}/shadow`, { version: null, author: signed() })),
    button(words.models.verify, async () => {
      const told = await post(`${path(model)}/verify`, { version: version.key });
      if (told.passed) notice(`${version.version}: ${words.models.verified}`);
    }),
    !version.is_live && !version.is_shadow && button(words.common.delete, async () => {
      if (await sure(fill(words.models.delete_sure, version), words.common.delete)) await ask("DELETE", `${path(model)}/versions/${version.key}`);
    }),
  ].filter(Boolean);
}

function versionCard(model, version) {
  const facts = [[words.models.method, version.method], [words.models.learnt, count(words.common.images, version.images)],
    [words.models.calibration, [version.origin, version.promise].filter(Boolean).join("; ") || words.threshold.unset], [words.models.size, bytes(version.bytes)],
    [words.models.loaded, `${when(version.time)}, ${words.new.kind[version.made_by] ?? version.made_by}`]];
  return el("article", { class: version.is_live ? "card version is-live" : "card version", "data-key": version.key },
    el("h3", {}, version.version, version.is_live && el("span", { class: "tag on", text: `● ${words.models.live}` }), version.is_shadow && el("span", { class: "tag", text: `◌ ${words.models.shadow}` }),
      version.verified && el("span", { class: "tag", text: `${version.verified.passed ? "✓" : "✕"} ${words.models.verify.toLowerCase()} ${when(version.verified.time)}` })),
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
    version.note && el("p", { class: "note", text: version.note }),
    el("div", { class: "row" }, acts(model, version),
      el("a", { class: "button", href: `/v1/station${path(model)}/versions/${version.key}/download`, download: "", text: words.models.download }),
      version.is_shadow && el("a", { class: "button", href: `/compare?model=${encodeURIComponent(model.name)}`, text: words.models.compare })));
}

async function learning(model) {
  if (!model.live) return null;
  const told = await get(`/feedback/${encodeURIComponent(model.name)}`);
  const start = (text, can, body) => may("admin") && el("button", { type: "button", text, disabled: !can, on: { click: async () => {
    try { const job = await post("/jobs", { model: model.name, author: signed(), ...body }); at("jobs").prepend(jobBox(job, () => show().catch(complain))); } catch (fault) { complain(fault); }
  } } });
  const row = (part, text, body) => el("div", { class: "learn" }, el("p", { text: part.words }), start(text, part.can, body));
  return el("section", { class: "card" }, el("h3", { text: words.models.feedback }), row(told.learn, words.models.update, { kind: "update" }), row(told.calibrate, words.models.calibrate, { kind: "calibrate", with: "audit" }),
    row(told.labelled, words.models.labelled, { kind: "calibrate", with: "labelled" }), el("p", { class: "soft", text: words.models.learn_note }));
}

async function show() {
  const { models } = await get("/models");
  at("empty").hidden = models.length > 0;
  const parts = await Promise.all(models.map(async (model) => el("section", { class: "model" },
    el("div", { class: "row" }, el("h2", { text: model.name }), model.can_roll_back && may("admin") && button(words.models.roll_back, () => post(`${path(model)}/rollback`, { author: signed() }))),
    el("div", { class: "versions" }, model.versions.map((version) => versionCard(model, version))),
    await learning(model))));
  at("list").replaceChildren(...parts);
}

const again = () => show().catch(complain);
for (const kind of ["model", "reload", "again"]) on(kind, again);

try {
  await begin();
  const { jobs } = await get("/jobs");
  at("jobs").replaceChildren(...jobs.filter((job) => !isOver(job)).map((job) => jobBox(job, again)));
  await show();
} catch (fault) {
  complain(fault);
}
