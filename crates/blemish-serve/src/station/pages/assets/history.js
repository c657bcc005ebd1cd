// The history as a grid: filters, and labels for one or many.
import { at, author, clock, complain, count, day, el, keys, notice, words } from "./dom.js";
import { get, pageOf, post, query } from "./api.js";
import { on } from "./events.js";
import { begin, may } from "./shell.js";
import { labelled, takeLabels, thumb } from "./verdict.js";

const FIELDS = ["verdict", "label", "model", "day", "p_max", "filter"];
const form = at("filters"), grid = at("grid"), signed = author();
let rows = new Map(), chosen = new Set(), next = null, focused = null, running = 0;

const filters = () => Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));

function card(row) {
  const toggle = (event) => choose(row.id, event.shiftKey);
  return el("li", { "data-id": row.id, "aria-selected": "false", role: "option", tabindex: "-1" },
    el("a", { href: pageOf(row.id), tabindex: "-1", "aria-label": `${clock(row.time)} ${row.name}` }, thumb(row)),
    el("label", {}, el("input", { type: "checkbox", tabindex: "-1", on: { click: toggle } }), el("span", { text: clock(row.time) }),
      row.pinned && el("span", { class: "soft", title: words.history.pinned, text: "◆" })),
    el("span", { class: "soft name", text: row.name }));
}

function bar() {
  at("selection").hidden = !chosen.size;
  at("selected").textContent = count(words.history.selected, chosen.size);
  grid.querySelectorAll("li[data-id]").forEach((item) => {
    const isChosen = chosen.has(item.dataset.id);
    item.setAttribute("aria-selected", String(isChosen));
    item.querySelector("input").checked = isChosen;
  });
}

let anchor = null;

/** Selects or frees an image; with shift all between the last one and this. */
function choose(id, isRange) {
  const ids = [...rows.keys()];
  if (isRange && anchor) {
    const [from, to] = [ids.indexOf(anchor), ids.indexOf(id)].sort((a, b) => a - b);
    ids.slice(from, to + 1).forEach((one) => chosen.add(one));
  } else if (chosen.has(id)) {
    chosen.delete(id);
  } else {
    chosen.add(id);
  }
  anchor = id;
  bar();
}

function append(images) {
  for (const row of images) {
    if (rows.has(row.id)) continue;
    const heading = day(row.time);
    if (!at(`day-${heading}`)) {
      grid.append(el("li", { class: "day", id: `day-${heading}`, role: "presentation", text: heading }));
    }
    rows.set(row.id, row);
    grid.append(card(row));
  }
}

async function show(isMore = false) {
  const turn = ++running;
  const wanted = filters();
  const answer = await get("/images" + query({ ...wanted, before: isMore ? next : "", limit: 60 }));
  // Filters that changed meanwhile win.
  if (turn !== running) return;
  if (!isMore) {
    rows = new Map();
    chosen = new Set();
    focused = null;
    grid.replaceChildren();
  }
  append(answer.images);
  next = answer.next;
  at("older").hidden = !next;
  at("total").textContent = answer.total === null || answer.total === undefined ? "" : count(words.common.images, answer.total);
  const isFiltered = Object.values(wanted).some(Boolean);
  at("nothing").hidden = rows.size > 0;
  at("nothing").textContent = isFiltered ? words.history.filtered_empty : words.history.empty;
  at("clear").hidden = !isFiltered;
  for (const layout of ["folder", "mvtec"]) at(layout).href = "/v1/station/download" + query({ layout, ...wanted });
  for (const name of ["", "disagreements", "questions"]) at(`filter-${name || "all"}`).setAttribute("aria-pressed", String(form.elements.filter.value === name));
  bar();
  if (!focused && rows.size) reach([...rows.keys()][0], false);
}

/** Makes an image the one that the keyboard is at. */
function reach(id, isMoved = true) {
  grid.querySelector('li[tabindex="0"]')?.setAttribute("tabindex", "-1");
  const item = grid.querySelector(`li[data-id="${CSS.escape(id)}"]`);
  if (!item) return;
  focused = id;
  item.setAttribute("tabindex", "0");
  if (isMoved) item.focus();
}

/** Moves by that many images, or to the row above or below. */
function move(step, isRow) {
  const items = [...grid.querySelectorAll("li[data-id]")];
  let place = items.findIndex((item) => item.dataset.id === focused);
  if (place < 0) return;
  if (isRow) {
    const here = items[place].getBoundingClientRect();
    const others = step > 0 ? items.slice(place + 1) : items.slice(0, place).reverse();
    const far = others.find((item) => {
      const box = item.getBoundingClientRect();
      return step > 0 ? box.top > here.top + 4 && box.left >= here.left - 4 : box.top < here.top - 4 && box.left <= here.left + 4;
    });
    place = far ? items.indexOf(far) : place;
  } else {
    place = Math.max(0, Math.min(items.length - 1, place + step));
  }
  reach(items[place].dataset.id);
}

function replace(row) {
  if (!rows.has(row.id)) return;
  rows.set(row.id, row);
  const old = grid.querySelector(`li[data-id="${CSS.escape(row.id)}"]`), hadFocus = old.contains(document.activeElement);
  old.replaceWith(card(row));
  if (focused === row.id) reach(row.id, hadFocus);
}

async function give(value) {
  const ids = chosen.size ? [...chosen] : focused && grid.contains(document.activeElement) ? [focused] : [];
  if (!ids.length || !may("label")) return;
  try {
    const { labelled: n } = await post("/labels", { ids, label: value, author: signed() });
    ids.forEach((id) => rows.has(id) && replace({ ...rows.get(id), label: value }));
    chosen.clear();
    bar();
    notice(labelled(n, value));
  } catch (fault) {
    complain(fault);
  }
}

async function pin(isPinned) {
  try {
    for (const id of chosen) replace(await post(`/images/${encodeURIComponent(id)}/pin`, { pinned: isPinned }));
    bar();
  } catch (fault) {
    complain(fault);
  }
}

function remember() {
  const address = "/history" + query(filters());
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  show().catch(complain);
}

function restore() {
  const given = new URLSearchParams(location.search);
  FIELDS.forEach((name) => { form.elements[name].value = given.get(name) ?? ""; });
}

form.addEventListener("change", remember);
form.addEventListener("submit", (event) => { event.preventDefault(); remember(); });
addEventListener("popstate", () => { restore(); show().catch(complain); });
for (const name of ["", "disagreements", "questions"]) {
  at(`filter-${name || "all"}`).addEventListener("click", () => { form.elements.filter.value = name; remember(); });
}
at("clear").addEventListener("click", () => { form.reset(); FIELDS.forEach((name) => { form.elements[name].value = ""; }); remember(); });
at("older").addEventListener("click", () => show(true).catch(complain));
at("all").addEventListener("click", () => { [...rows.keys()].forEach((id) => chosen.add(id)); bar(); });
at("free").addEventListener("click", () => { chosen.clear(); bar(); });
at("pin").addEventListener("click", () => pin(true));
at("unpin").addEventListener("click", () => pin(false));
grid.addEventListener("focusin", (event) => { const item = event.target.closest("li[data-id]"); if (item && item.dataset.id !== focused) reach(item.dataset.id, false); });
grid.addEventListener("keydown", (event) => {
  const acts = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => move(-1, true), ArrowDown: () => move(1, true),
    " ": () => choose(focused, event.shiftKey), Enter: () => { location.href = pageOf(focused); } };
  if (!acts[event.key] || event.target.tagName === "A" || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  acts[event.key]();
});
takeLabels(give);
keys({ Escape: () => { chosen.clear(); bar(); } });
on("label", ({ data }) => data.ids.forEach((id) => rows.has(id) && rows.get(id).label !== data.label && replace({ ...rows.get(id), label: data.label })));
on("again", () => show().catch(complain));

try {
  const state = await begin();
  const models = (state.models ?? []).map((one) => one.name);
  form.elements.model.append(...models.map((name) => el("option", { value: name, text: name })));
  form.elements.model.closest("label").hidden = models.length < 2;
  restore();
  await show();
} catch (fault) {
  complain(fault);
}
