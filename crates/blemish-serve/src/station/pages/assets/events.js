// News from the server. One stream a page; a page that nobody sees lets go of it, since browsers keep few connections to a server.
import { at, words } from "./dom.js";

const KINDS = ["verdict", "image", "compared", "source", "job", "label", "threshold", "model", "reload", "reload_failed", "drift", "retention", "pause", "settings"];
const listeners = new Map();
let stream = null, pause = 500, wasOpen = false, timer = 0, last = "";

/** Calls a function with the data of each event of a kind; "again" comes when news may have been missed. */
export function on(kind, listener) {
  if (!listeners.has(kind)) listeners.set(kind, []);
  listeners.get(kind).push(listener);
}

/** A listener that runs once a second at most, however many images a second there are. */
export function soon(run) {
  let waiting = 0;
  return () => { if (!waiting) waiting = setTimeout(() => { waiting = 0; run(); }, 1000); };
}

const tell = (kind, data) => (listeners.get(kind) ?? []).forEach((listener) => listener(data));

function show(isOn) {
  const mark = at("live");
  if (!mark) return;
  mark.dataset.state = isOn ? "on" : "lost";
  mark.textContent = isOn ? words.live.on : words.live.lost;
}

function open() {
  clearTimeout(timer);
  stream?.close();
  stream = new EventSource("/v1/events");
  stream.onopen = () => {
    show(true);
    pause = 500;
    if (wasOpen) tell("again");
    wasOpen = true;
  };
  stream.onerror = () => {
    show(false);
    // The browser tries again by itself unless the answer was an error: then it gives up, and we do not.
    if (stream.readyState !== EventSource.CLOSED) return;
    timer = setTimeout(open, pause);
    pause = Math.min(5000, 2 * pause);
  };
  for (const kind of KINDS) {
    stream.addEventListener(kind, (event) => {
      // After a reconnect the server may tell again what was told already.
      if (event.lastEventId && event.lastEventId === last) return;
      last = event.lastEventId;
      let data;
      try { data = JSON.parse(event.data); } catch { return; }
      tell(kind, data);
    });
  }
}

/** Begins to listen. */
export function follow() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      clearTimeout(timer);
    } else {
      open();
    }
  });
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}
