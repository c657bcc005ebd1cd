// A new part: good images, a check of them, a fit, a try, and the line.
import { at, author, complain, count, el, fill, notice, number, words } from "./dom.js";
import { ask, get, post } from "./api.js";
import { Overlay } from "./overlay.js";
import { isOver, jobBox } from "./shell.js";
import { Upload, dropped } from "./upload.js";
import { badge, meaning } from "./verdict.js";

/** Pictures of a set that are shown at once. */
const SHOWN = 60;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const address = (set, sha) => `/v1/station/uploads/${encodeURIComponent(set)}/files/${encodeURIComponent(sha)}`;

/** Brings the markup of the page to life; calls `over` once a model is live. */
export function mount(over = () => {}) {
  const signed = author();
  const url = new URL(location.href);
  const remember = (name, value) => {
    if (value) url.searchParams.set(name, value); else url.searchParams.delete(name);
    history.replaceState(null, "", url);
  };
  const upload = new Upload(url.searchParams.get("set"), showUpload);
  let files = [];

  function showUpload() {
    const total = upload.items.length, failed = upload.items.filter((item) => item.state === "failed");
    at("new-sending").hidden = !total;
    at("new-progress").max = Math.max(1, total);
    at("new-progress").value = upload.count("arrived");
    at("new-told").textContent = fill(words.new.uploading, { n: number(upload.count("arrived")), m: number(total) }) + (failed.length ? `, ${fill(words.new.failed, { n: number(failed.length) })}` : "");
    at("new-retry").hidden = failed.length < 2;
    const troubled = upload.items.filter((item) => item.reason);
    at("new-failed").replaceChildren(...troubled.slice(0, 50).map((item) => el("li", {}, el("b", { text: item.file.name }), ` ${item.reason} `,
      item.state === "failed" && el("button", { type: "button", text: words.common.retry, on: { click: () => upload.retry([item]) } }))));
    if (upload.set) remember("set", upload.set);
    if (total && upload.isDone) check().catch(complain);
  }

  /** What is in the set and what `data check` says of it. */
  async function check() {
    if (!upload.set) return;
    const set = await get(`/uploads/${encodeURIComponent(upload.set)}?check=true`);
    files = set.files;
    at("new-ready").hidden = !files.length;
    at("new-drop").classList.toggle("small", files.length > 0);
    at("new-count").textContent = count(words.common.images, set.images);
    at("new-pictures").replaceChildren(...files.slice(0, SHOWN).map((file) => picture(file)),
      ...(files.length > SHOWN ? [el("li", { class: "soft", text: `+ ${number(files.length - SHOWN)}` })] : []));
    const found = set.check ?? [];
    at("new-check").replaceChildren(...(found.length ? found.map((one) => el("p", { class: one.error ? "finding bad" : "finding" }, el("b", { text: `${one.error ? "✕" : "!"} ${one.finding}` }), " ", one.detail ?? "",
      one.files?.length ? el("span", { class: "soft", text: ` ${one.files.slice(0, 6).join(", ")}${one.files.length > 6 ? " …" : ""}` }) : null)) : [el("p", { class: "soft", text: `✓ ${words.new.check_fine}` })]));
    allow();
  }

  const leaveOut = (file) => ask("DELETE", `/uploads/${encodeURIComponent(upload.set)}/files/${file.sha256}`).then(check).catch(complain);

  function picture(file, note = "") {
    return el("li", {}, el("img", { src: address(upload.set, file.sha256), alt: file.name, title: file.name, loading: "lazy", decoding: "async", width: 96, height: 96 }), note && el("span", { class: "soft", text: note }),
      el("button", { type: "button", class: "plain", title: words.new.leave_out, "aria-label": `${words.new.leave_out}: ${file.name}`, text: "×", on: { click: () => leaveOut(file) } }));
  }

  function allow() {
    const name = at("new-name").value.trim(), isNamed = NAME.test(name);
    const trouble = files.length < 2 ? words.new.too_few : isNamed || !name ? "" : words.new.name_wrong;
    at("new-trouble").textContent = trouble;
    at("new-start").disabled = Boolean(trouble) || !isNamed;
  }

  async function start() {
    const model = at("new-name").value.trim(), method = at("new-method").value;
    const body = method === "pick" ? { kind: "pick", latency_ms: 100 } : { kind: "fit", method, false_alarm: Number(at("new-rate").value), updatable: true };
    follow(await post("/jobs", { ...body, model, set: upload.set, author: signed() }));
  }

  function follow(job) {
    remember("job", job.id);
    at("new-ready").hidden = true;
    at("new-drop").hidden = true;
    at("new-sending").hidden = true;
    at("new-job").replaceChildren(jobBox(job, (ended) => {
      if (ended.state === "done" && ended.version) return ready(ended);
      remember("job", null);
      at("new-drop").hidden = false;
      check().catch(complain);
    }));
    at("new-job").scrollIntoView({ block: "nearest" });
  }

  function ready(job) {
    at("new-done").hidden = false;
    at("new-promise").textContent = job.result?.calibration?.promise ?? "";
    const live = at("new-live");
    live.onclick = async () => {
      live.disabled = true;
      try {
        await post(`/models/${encodeURIComponent(job.model)}/live`, { version: job.version, author: signed() });
        remember("job", null);
        remember("set", null);
        notice(fill(words.new.is_live, { name: job.model }), { action: location.pathname === "/" ? null : [words.new.to_line, () => location.assign("/")] });
        over();
      } catch (fault) {
        complain(fault);
      } finally {
        live.disabled = false;
      }
    };
    accept(at("new-try"), at("new-try-files"), (given) => given.slice(0, 5).forEach((file) => tryOut(job, file).catch(complain)));
    live.focus();
  }

  async function tryOut(job, file) {
    const { results } = await ask("POST", `/models/${encodeURIComponent(job.model)}/try?version=${encodeURIComponent(job.version)}`, file);
    for (const said of results) {
      const stage = el("div", { class: "stage" });
      at("new-tried").prepend(el("article", { class: "card" }, stage, el("div", { class: "row" }, badge(said), el("span", { class: "soft name", text: file.name })), el("p", { text: meaning(said) })));
      const map = said.map ? URL.createObjectURL(unpacked(said.map)) : null;
      new Overlay(stage).show({ id: file.name, name: file.name, size: said.size }, said, [URL.createObjectURL(file), map, null]);
    }
  }

  async function suspects() {
    const job = await post("/jobs", { kind: "suspects", model: at("new-name").value.trim() || "part", set: upload.set, author: signed() });
    at("new-suspects").replaceChildren(jobBox(job, (ended) => {
      const list = ended.result?.suspects ?? [], mine = list.map((one) => [one, files.find((file) => one.path.endsWith(file.name) || one.path.includes(file.sha256))]).filter(([, file]) => file);
      at("new-suspects").replaceChildren(...(ended.state === "done" ? [el("p", { text: mine.length ? words.new.suspects : words.new.check_fine }),
        el("ul", { class: "pictures" }, mine.slice(0, 12).map(([one, file]) => picture(file, one.deviations === undefined ? "" : `${Number(one.deviations).toFixed(1)} σ`)))] : [el("p", { class: "soft", text: ended.error ?? words.new.failed_job })]));
    }));
  }

  accept(at("new-drop"), at("new-files"), (given) => upload.add(given));
  at("new-folder").addEventListener("change", (event) => { upload.add([...event.target.files]); event.target.value = ""; });
  at("new-retry").addEventListener("click", () => upload.retry());
  at("new-name").addEventListener("input", allow);
  at("new-form").addEventListener("submit", (event) => { event.preventDefault(); start().catch(complain); });
  at("new-odd").addEventListener("click", () => suspects().catch(complain));
  at("new-discard").addEventListener("click", async () => {
    try {
      await ask("DELETE", `/uploads/${encodeURIComponent(upload.set)}`);
      remember("set", null);
      Object.assign(upload, { set: null, items: [] });
      files = [];
      at("new-ready").hidden = at("new-sending").hidden = true;
      at("new-drop").classList.remove("small");
    } catch (fault) {
      complain(fault);
    }
  });
  resume(url, follow).then(check).catch(complain);
}

/** A page that is opened anew finds its job again. */
async function resume(url, follow) {
  const wanted = url.searchParams.get("job");
  if (wanted) return follow(await get(`/jobs/${encodeURIComponent(wanted)}`));
  const { jobs } = await get("/jobs");
  const running = jobs.find((job) => ["fit", "pick"].includes(job.kind) && !isOver(job));
  return running && follow(running);
}

/** The bytes of a data address; the page's policy loads pictures from our server and from its own memory only. */
function unpacked(data) {
  const [head, body] = data.split(",");
  return new Blob([Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0))], { type: head.slice(5).split(";")[0] });
}

/** Lets a place take files that are dropped on it, or chosen with the field inside. */
function accept(place, field, take) {
  place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  for (const end of ["dragleave", "drop"]) place.addEventListener(end, () => place.classList.remove("over"));
  place.addEventListener("drop", async (event) => { event.preventDefault(); take(await dropped(event.dataTransfer)); });
  field.addEventListener("change", () => { take([...field.files]); field.value = ""; });
}
