// Elements from scripts. Text from outside only ever becomes text: nothing here reads markup.
import words from "./words.js";

export { words };

/** The element of that id. */
export const at = (id) => document.getElementById(id);

/**
 * An element. `props` may hold `class`, `text`, `on` (listeners by event), `set` (custom properties by name) and attributes; a false or
 * null attribute is left out.
 */
export function el(tag, props = {}, ...children) {
  return dress(document.createElement(tag), props, children);
}

/** The same for drawings. */
export function svg(tag, props = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function dress(element, { on = {}, set = {}, text, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const [name, value] of Object.entries(set)) element.style.setProperty(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A text with its `{places}` filled. */
export const fill = (text, values) =>
  text.replace(/\{(\w+)\}/g, (place, name) => (values[name] === undefined ? place : String(values[name])));

/** The text for that many of [one, many]. */
export const count = (texts, n, values = {}) => fill(texts[n === 1 ? 0 : 1], { n: number(n), ...values });

/** A whole number with separators. */
export const number = (n) => Number(n).toLocaleString("en");

/** A share in percent, with as many digits as it needs. */
export const percent = (share) => {
  const hundred = 100 * share;
  const digits = hundred === 0 || hundred >= 10 ? 0 : hundred >= 1 ? 1 : 2;
  return `${Number(hundred.toFixed(digits))} %`;
};

/** The same of a share that is not exceeded: rounded up, as the server's own promises are. */
export const atMost = (share) => {
  const steps = share >= 0.01 ? 1e3 : 1e5;
  return `${Number((100 * Math.ceil(share * steps - 1e-9) / steps).toFixed(3))} %`;
};

/** A score in few characters. */
export const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(4))));

/** A number of bytes in the unit that suits it. */
export const bytes = (n) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = n > 0 ? Math.min(4, Math.floor(Math.log10(n) / 3)) : 0;
  return `${(n / 1000 ** step).toFixed(step > 1 ? 1 : 0)} ${units[step]}`;
};

const two = (n) => String(n).padStart(2, "0");

/** Time of day of seconds since 1970. */
export const clock = (seconds) => {
  const time = new Date(1000 * seconds);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
};

/** The day of seconds since 1970, as YYYY-MM-DD in the reader's time. */
export const day = (seconds) => {
  const time = new Date(1000 * seconds);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
};

/** Day and time, the day only where it is not today. */
export const when = (seconds) => (day(seconds) === day(Date.now() / 1000) ? clock(seconds) : `${day(seconds)} ${clock(seconds)}`);

/** How long that many seconds are. */
export const span = (seconds) => {
  if (seconds < 90) return count(words.common.second, Math.max(1, Math.round(seconds)));
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

/** Says something to the person, for a while; trouble stays until it is closed. `action` is [text, function]. */
export function notice(text, { bad = false, action = null } = {}) {
  const place = at("notices");
  const close = () => box.remove();
  const box = el("div", { class: bad ? "notice bad" : "notice", role: bad ? "alert" : "status" },
    el("span", { text: (bad ? "✕ " : "") + text }),
    action && el("button", { type: "button", text: action[0], on: { click: () => { close(); action[1](); } } }),
    el("button", { type: "button", class: "plain", text: "×", "aria-label": words.common.close, on: { click: close } }));
  while (place.children.length > 2) place.firstChild.remove();
  place.append(box);
  if (!bad) setTimeout(close, 6000);
}

/** Says what went wrong. */
export const complain = (fault) => notice(fault.help ? `${fault.message}; ${fault.help}` : fault.message, { bad: true });

/** Asks yes or no in a dialog, with the keyboard as well. */
export function sure(question, yes = words.common.yes) {
  return new Promise((settle) => {
    const answer = (value) => { dialog.close(); dialog.remove(); settle(value); };
    const dialog = el("dialog", { on: { cancel: () => answer(false) } },
      el("p", { text: question }),
      el("div", { class: "row" },
        el("button", { type: "button", class: "main", text: yes, on: { click: () => answer(true) } }),
        el("button", { type: "button", text: words.common.cancel, on: { click: () => answer(false) } })));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Calls a function for a key, unless the person is writing or holds a control key. */
export function keys(map) {
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const isWriting = target.closest("input:not([type=range]):not([type=checkbox]), textarea, select, dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting) return;
    // A focused button keeps its own space bar, a slider its arrows.
    if (event.key === " " && target.closest("button, a, summary, [role=option], input")) return;
    if (event.key.startsWith("Arrow") && target.closest("input[type=range], [role=listbox]")) return;
    const act = map[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
}

/** The name that labels and changes are signed with, remembered on this device. */
export function author(field) {
  let name = "";
  try { name = localStorage.getItem("author") ?? ""; } catch { /* A browser may forbid it: then the name is asked each time. */ }
  if (field) {
    field.value = name;
    field.addEventListener("change", () => { try { localStorage.setItem("author", field.value.trim()); } catch { /* As above. */ } });
    return () => field.value.trim() || undefined;
  }
  return () => name || undefined;
}
