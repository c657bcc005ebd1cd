// What every screen begins with: the state, the caller's rights, news, the job's progress in the header.
import { at, complain, el, fill, span, words } from "./dom.js";
import { get, logIn, post } from "./api.js";
import { follow, on } from "./events.js";

/** The state as `/v1/station/state` tells it. Asks until the server answers, so that a page opened too early needs no reload. */
export async function begin() {
  for (let pause = 300; ; pause = Math.min(5000, 2 * pause)) {
    try {
      const state = await get("/state");
      if (state.needs_login) {
        logIn();
        await new Promise(() => {});
      }
      settle(state);
      follow();
      return state;
    } catch (fault) {
      if (fault.status >= 400 && fault.status < 500) throw fault;
      at("live").textContent = words.live.lost;
      await new Promise((go) => setTimeout(go, pause));
    }
  }
}

/** Hides what the caller may not do, shows who they are, and banners. */
function settle(state) {
  const rights = state.rights ?? {};
  document.querySelectorAll("[data-needs]").forEach((element) => { element.hidden = !rights[element.dataset.needs]; });
  for (const [right, isGiven] of Object.entries(rights)) document.body.dataset[right] = String(isGiven);
  banner("history", state.banner);
  drift(state.drift ?? []);
  showJob(state.job);
  on("job", ({ data }) => showJob(data));
  on("drift", async () => { const fresh = await get("/state"); drift(fresh.drift ?? []); });
  on("reload_failed", ({ text, model }) => banner("reload", `${model}: ${text}`));
  on("reload", () => banner("reload", null));
}

/** Whether the caller has a right. */
export const may = (right) => document.body.dataset[right] === "true";

/** A line over the page that stays until its reason is gone. */
export function banner(name, text, link = null) {
  const place = at("banners");
  place.querySelector(`[data-name="${name}"]`)?.remove();
  if (!text) return;
  place.append(el("p", { class: "banner", "data-name": name, role: "status" }, el("span", { "aria-hidden": "true", text: "! " }), text,
    link && el("a", { href: link[0], text: link[1] })));
}

function drift(monitors) {
  const moved = monitors.filter((monitor) => monitor.state === "moved");
  banner("drift", moved.length ? moved.map((monitor) => (monitors.length > 1 ? `${monitor.model}: ${monitor.words}` : monitor.words)).join("; ") : null,
    ["/drift", words.line.drift]);
}

/** Whether a job has ended. */
export const isOver = (job) => ["done", "failed", "cancelled", "interrupted"].includes(job.state);

function showJob(job) {
  const chip = at("job");
  chip.hidden = !job || isOver(job);
  if (chip.hidden) return;
  const progress = job.total ? ` ${Math.floor(100 * job.done / job.total)} %` : "";
  chip.textContent = `${words.new.kind[job.kind] ?? job.kind} ${job.model}${progress}`;
}

/** A job as a box that keeps up with the news; calls `over` once it has ended. */
export function jobBox(job, over = () => {}) {
  const bar = el("progress", { max: 1, "aria-label": words.new.job }), told = el("p"), soft = el("p", { class: "soft" });
  const log = el("pre", { hidden: true }), buttons = el("div", { class: "row" });
  const box = el("section", { class: "card job", "data-job": job.id }, el("h3", { text: `${words.new.kind[job.kind] ?? job.kind}: ${job.model}` }),
    bar, told, soft, log, buttons);
  let ended = false;
  const show = (now) => {
    box.dataset.state = now.state;
    if (now.total && now.state === "running") bar.value = now.done / now.total; else bar.removeAttribute("value");
    bar.hidden = now.state !== "running";
    told.textContent = { waiting: words.new.queued, running: [now.stage || words.new.running, now.total ? fill(words.common.of, { n: now.done, m: now.total }) : ""].filter(Boolean).join(", "),
      done: words.new.done, failed: words.new.failed_job, cancelled: words.new.cancelled, interrupted: words.new.interrupted }[now.state];
    soft.textContent = [now.error, now.state === "running" && now.seconds_left ? fill(words.new.left, { time: span(now.seconds_left) }) : "",
      now.state === "running" && now.loss ? fill(words.new.loss, { loss: now.loss.toPrecision(4) }) : "",
      now.state !== "running" ? "" : now.status].filter(Boolean).join(" · ");
    const act = (text, path, then) => el("button", { type: "button", text, on: { click: () => post(path).then(then).catch(complain) } });
    buttons.replaceChildren(...(isOver(now) ? [] : [act(words.common.cancel, `/jobs/${now.id}/cancel`, show)]),
      ...(now.can_resume ? [act(words.new.resume, `/jobs/${now.id}/resume`, (next) => box.replaceWith(jobBox(next, over)))] : []));
    if (isOver(now) && !ended) {
      ended = true;
      if (now.state === "failed") {
        get(`/jobs/${now.id}`).then((full) => {
          log.hidden = !full.log?.length;
          log.textContent = (full.log ?? []).slice(-20).join("\n");
          soft.textContent = full.error ?? "";
        }).catch(complain);
      }
      over(now);
    }
  };
  const refresh = () => !ended && get(`/jobs/${job.id}`).then(show).catch(complain);
  on("job", ({ data }) => { if (data.id === job.id && !ended) show(data); });
  on("again", refresh);
  show(job);
  // It may have ended between the answer and now.
  refresh();
  return box;
}

/** Fills a choice of models and keeps the chosen one in the address; hidden where there is only one. */
export function modelChoice(select, names, chosen, changed) {
  select.replaceChildren(...names.map((name) => el("option", { value: name, text: name })));
  const wanted = new URLSearchParams(location.search).get("model");
  select.value = names.includes(wanted) ? wanted : names.includes(chosen) ? chosen : names[0] ?? "";
  select.closest("label").hidden = names.length < 2;
  select.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("model", select.value);
    history.replaceState(null, "", address);
    changed(select.value);
  });
  return select.value;
}
