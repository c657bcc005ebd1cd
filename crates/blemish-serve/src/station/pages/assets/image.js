// One image: what was seen, what was said, what people say.
import { at, author, complain, el, fill, keys, notice, number, short, when, words } from "./dom.js";
import { get, pageOf, picture } from "./api.js";
import { on } from "./events.js";
import { Overlay } from "./overlay.js";
import { begin, may } from "./shell.js";
import { badge, kind, label, labelled, meaning, scoreLine, tag, takeLabels, thumb } from "./verdict.js";

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const overlay = new Overlay(at("stage"));
const signed = author(at("author"));

function regions(said) {
  const table = at("regions"), list = said?.regions ?? [];
  table.closest("section").hidden = !said;
  at("no-regions").hidden = list.length > 0;
  table.hidden = !list.length;
  table.tBodies[0].replaceChildren(...list.map((region, index) => el("tr", {},
    el("td", { text: String(index + 1) }), el("td", { text: fill(words.image.pixels, { n: number(Math.round(region.area)) }) }),
    el("td", { text: short(region.peak.score) }), el("td", { text: `${region.peak.x}, ${region.peak.y}` }))));
}

function verdicts(list) {
  at("verdicts").replaceChildren(...list.map((said) => {
    const ms = said.milliseconds ?? {}, time = (name, value) => `${name} ${fill(words.image.ms, { n: (value ?? 0).toFixed(1) })}`;
    return el("div", { class: "card" },
      el("div", { class: "row" }, badge(said), el("b", { text: said.model }), el("span", { class: "soft", text: said.version }),
        said.shadow && el("span", { class: "tag", text: words.verdict.shadow })),
      el("p", { text: meaning(said) }), el("p", { class: "soft", text: scoreLine(said) }),
      el("p", { class: "soft", text: [time(words.image.queue, ms.queue), time(words.image.decode, ms.decode), time(words.image.score_time, ms.score)].join(", ") }));
  }));
}

function labels(list) {
  at("labels-given").replaceChildren(...list.map((one, index) => el("li", {},
    tag(one.label), el("span", { class: "soft", text: ` ${when(one.time)} ${one.author ?? ""}${index ? `, ${words.image.superseded}` : ""}` }),
    one.note && el("p", { class: "note", text: one.note }))));
}

function neighbour(row) {
  return el("a", { href: pageOf(row.id), title: `${when(row.time)} ${row.name}` }, thumb(row));
}

async function show() {
  const row = await get(`/images/${encodeURIComponent(id)}`);
  const said = row.verdict ?? row.verdicts.find((one) => !one.shadow) ?? row.verdicts[0];
  at("band").dataset.verdict = kind(said);
  at("word").textContent = words.verdict[kind(said)];
  at("meaning").textContent = meaning(said);
  at("title").textContent = row.name || when(row.time);
  at("facts").replaceChildren(...[[words.common.time, when(row.time)], [words.image.source, row.source], [words.image.size, `${row.size[1]} × ${row.size[0]}`],
    [words.image.hash, row.sha256]].filter(([, value]) => value).flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })]));
  at("original").hidden = row.has_original === false;
  at("original").href = picture(id, "original");
  overlay.show(row, said);
  regions(said);
  verdicts(row.verdicts);
  labels(row.labels);
  const { before = [], after = [] } = row.neighbours ?? {};
  at("neighbours").replaceChildren(...[...before].reverse().map(neighbour), el("span", { class: "here", "aria-current": "true" }, thumb(row)), ...after.map(neighbour));
  at("neighbours").dataset.before = before[0]?.id ?? "";
  at("neighbours").dataset.after = after[0]?.id ?? "";
  at("page").hidden = false;
}

async function give(value) {
  if (!may("label")) return;
  try {
    await label(id, value, signed(), at("note").value.trim() || undefined);
    at("note").value = "";
    notice(labelled(1, value));
    await show();
  } catch (fault) {
    complain(fault);
  }
}

const leave = (where) => { const next = at("neighbours").dataset[where]; if (next) location.href = pageOf(next); };

overlay.obey();
takeLabels(give);
keys({ ArrowLeft: () => leave("before"), ArrowRight: () => leave("after") });
on("label", ({ data }) => { if (data.ids.includes(id)) show().catch(complain); });
on("again", () => show().catch(complain));

try {
  await begin();
  await show();
} catch (fault) {
  if (fault.status === 404) at("missing").hidden = false; else complain(fault);
}
