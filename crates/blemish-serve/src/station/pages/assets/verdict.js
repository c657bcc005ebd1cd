// Verdicts, labels and p-values in words, with a symbol and a colour each.
import { at, atMost, count, el, fill, keys, number, short, words } from "./dom.js";
import { picture, post } from "./api.js";

/** "good", "flagged" or "none". */
export const kind = (said) => (said?.anomalous === true ? "flagged" : said?.anomalous === false ? "good" : "none");

/** Symbols differ in shape, so that they can be told apart without colour. */
export const SYMBOLS = { good: "✓", flagged: "✕", none: "–", defective: "✕", unsure: "?" };

/** A verdict as a small mark. */
export const badge = (said) => {
  const what = kind(said);
  return el("span", { class: `badge ${what}` }, `${SYMBOLS[what]} ${words.verdict[what]}`);
};

/** A label as a small mark, in another shape than a verdict. */
export const tag = (label) => el("span", { class: `tag ${label ?? "none"}` }, label ? `${SYMBOLS[label]} ${words.label[label]}` : words.label.none);

/** A p-value in words; the server counts in its own words where it knows the calibration. */
export const meaning = (said) => {
  if (!said) return "";
  if (said.p_value === null || said.p_value === undefined) return words.p.none;
  const text = said.words ?? fill(words.p.share, { p: atMost(said.p_value) });
  return text.slice(0, 1).toUpperCase() + text.slice(1);
};

/** Score and threshold in a line. */
export const scoreLine = (said) =>
  (said.threshold === null || said.threshold === undefined
    ? `${words.line.score} ${short(said.score)}`
    : `${words.line.score} ${short(said.score)}, ${words.line.threshold} ${short(said.threshold)}`);

/** The regions as a list. */
export const regionList = (said) =>
  ((said.regions ?? []).length
    ? el("ol", { class: "regions" }, said.regions.slice(0, 8).map((region) =>
      el("li", { text: `${fill(words.image.pixels, { n: number(Math.round(region.area)) })}, ${words.image.peak.toLowerCase()} ${short(region.peak.score)}` })))
    : el("p", { class: "soft", text: words.line.no_regions }));

/** Labels an image; gives its new row. */
export const label = (id, value, author, note) =>
  post(`/images/${encodeURIComponent(id)}/label`, { label: value, author, note });

/** What is said after labels were given. */
export const labelled = (n, value) => count(words.label.many, n, { label: words.label[value].toLowerCase() });

const LABELS = ["good", "defective", "unsure"];

/** The three buttons of labels with their keys. */
export const labelButtons = (give) => LABELS.map((value) =>
  el("button", { type: "button", class: `label ${value}`, "data-label": value, on: { click: () => give(value) } },
    el("span", { text: `${SYMBOLS[value]} ${words.label[value]}` }), el("kbd", { text: value[0].toUpperCase() })));

/** Lets the page's buttons of labels and their keys give labels. */
export function takeLabels(give) {
  at("labels").replaceChildren(...labelButtons(give));
  keys(Object.fromEntries(LABELS.map((value) => [value[0], () => give(value)])));
}

/** A thumbnail with its verdict as border, symbol and words for those who cannot see it. */
export function thumb(row, said = row.verdict) {
  const what = said === null ? "none" : kind(said), address = picture(row.id, "thumb.jpg");
  const image = el("img", { src: address, alt: "", loading: "lazy", decoding: "async", width: 96, height: 96 });
  // The history writes a thumbnail a moment after the verdict; one that retention took stays away.
  let tries = 0;
  image.addEventListener("error", () => {
    if (tries++ < 4 && row.has_original !== false) setTimeout(() => { image.src = `${address}?${tries}`; }, 100 * 2 ** tries);
    else image.replaceWith(el("span", { class: "nothing", text: words.history.gone }));
  });
  return el("span", { class: `thumb ${what}` }, image,
    said && el("span", { class: "corner", "aria-hidden": "true", text: SYMBOLS[what] }),
    said && el("span", { class: "unseen", text: words.verdict[what] }),
    row.label && el("span", { class: `corner of-label ${row.label}`, "aria-hidden": "true", text: row.label[0].toUpperCase() }),
    row.label && el("span", { class: "unseen", text: words.label[row.label] }));
}
