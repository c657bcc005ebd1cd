// Where images come from, how long they stay, who may do what.
import { at, author, bytes, clock, complain, count, el, fill, notice, number, when, words } from "./dom.js";
import { ask, get, pageOf, post } from "./api.js";
import { on } from "./events.js";
import { begin, may } from "./shell.js";
import { thumb } from "./verdict.js";

const GIB = 2 ** 30;
const signed = author(at("author"));

function source(one) {
  const counts = [fill(words.settings.taken, { n: number(one.taken) }), one.dropped ? fill(words.settings.dropped, { n: number(one.dropped) }) : "",
    one.unreadable ? fill(words.settings.unreadable, { n: number(one.unreadable) }) : ""].filter(Boolean).join(", ");
  return el("li", { class: "card", "data-source": one.name }, el("div", { class: "row" }, el("b", { text: one.name }), el("span", { class: one.state === "failed" ? "tag bad" : "tag", text: `${one.state === "running" ? "●" : one.state === "failed" ? "✕" : "○"} ${one.state}` }),
    one.trigger === "request" && may("score") && el("button", { type: "button", text: words.settings.trigger, on: { click: () => post("/v1/trigger", { source: one.name }).catch(complain) } })),
  el("p", { class: "soft what", text: one.what }), el("p", { class: "soft", text: counts }),
  one.error && el("p", { class: "note" }, `${words.settings.last_error}: ${one.error}`, one.retry_at ? `, ${fill(words.settings.again, { time: clock(one.retry_at) })}` : ""),
  one.tail?.length ? el("pre", { text: one.tail.join("\n") }) : null);
}

function show(now) {
  at("sources").replaceChildren(...now.sources.map(source));
  at("no-sources").hidden = now.sources.length > 0;
  at("max").value = Number((now.history_max / GIB).toFixed(2));
  at("days").value = now.history_days;
  at("record").value = now.record;
  at("audit").value = Number((100 * now.audit).toFixed(2));
  at("used").textContent = `${bytes(now.retention.bytes)}, ${count(words.common.images, now.retention.pictures)}${now.retention.oldest ? `, ${when(now.retention.oldest)}` : ""}`;
  at("retention-words").textContent = now.retention.words ?? "";
  at("next").replaceChildren(...(now.retention.next ?? []).map((row) => el("a", { href: pageOf(row.id), title: when(row.time) }, thumb(row))));
  at("next").closest("div").hidden = !now.retention.next?.length;
  at("sinks").replaceChildren(...now.sinks.map((sink) => el("li", { text: `${sink.kind} ${sink.name}` })));
}

async function changes() {
  const { events } = await get("/log?limit=30");
  at("log").replaceChildren(...events.map((one) => el("li", {}, el("span", { class: "soft", text: `${when(one.time)} ${one.author ?? ""} ` }), one.text)));
  at("log").closest("section").hidden = !events.length;
}

const load = async () => { show(await get("/settings")); await changes(); };

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    show(await ask("PUT", "/settings", { history_max: Math.round(at("max").value * GIB), history_days: Number(at("days").value), record: at("record").value, audit: at("audit").value / 100, author: signed() }));
    notice(words.settings.saved);
    await changes();
  } catch (fault) {
    complain(fault);
  }
});
at("logout").addEventListener("click", () => post("/logout").then(() => location.assign("/login")).catch(complain));
on("source", ({ data }) => {
  const old = at("sources").querySelector(`[data-source="${CSS.escape(data.name)}"]`);
  if (old) old.replaceWith(source(data));
});
for (const kind of ["settings", "retention", "again"]) on(kind, () => load().catch(complain));

try {
  const state = await begin();
  at("role").textContent = words.settings.roles[state.role] ?? state.role;
  document.querySelectorAll("#form input, #form select").forEach((field) => { field.disabled = !may("admin"); });
  const settings = await get("/settings");
  at("everybody").hidden = settings.tokens;
  at("logout").hidden = !settings.tokens;
  show(settings);
  await changes();
} catch (fault) {
  complain(fault);
}
