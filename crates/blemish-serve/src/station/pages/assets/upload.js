// Files on their way to the server: two at a time, each tried four times; the server knows them by their content, so a repeat is harmless.
import { ask, query } from "./api.js";

const PAUSES = [300, 900, 2700];
const wait = (ms) => new Promise((go) => setTimeout(go, ms));

/** All files of what was dropped, folders too. */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = [];
  const walk = async (entry) => {
    if (entry instanceof File) return void files.push(entry);
    if (entry.isFile) return void files.push(await new Promise((settle, fail) => entry.file(settle, fail)));
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((settle, fail) => reader.readEntries(settle, fail));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries.filter(Boolean)) await walk(entry);
  return files;
}

/** A set of files that are sent and may fail one by one. */
export class Upload {
  constructor(set, changed) {
    Object.assign(this, { set, changed, items: [], running: 0 });
  }

  /** Sends more files. */
  add(files) {
    this.items.push(...files.map((file) => ({ file, state: "waiting", reason: "" })));
    this.next();
    this.changed();
  }

  /** Sends again what failed. */
  retry(items = this.items.filter((item) => item.state === "failed")) {
    items.forEach((item) => { item.state = "waiting"; });
    this.next();
    this.changed();
  }

  /** How many are in a state. */
  count(state) {
    return this.items.filter((item) => item.state === state).length;
  }

  /** Whether nothing is on its way. */
  get isDone() {
    return this.running === 0 && this.count("waiting") === 0;
  }

  next() {
    // The first answer names the set; before it is known only one file travels.
    while (this.running < (this.set ? 2 : 1)) {
      const item = this.items.find((one) => one.state === "waiting");
      if (!item) return;
      item.state = "sending";
      this.running++;
      this.send(item).finally(() => { this.running--; this.next(); this.changed(); });
    }
  }

  async send(item) {
    for (let tries = 0; ; tries++) {
      try {
        const body = new FormData();
        body.append("file", item.file, item.file.name);
        const answer = await ask("POST", "/uploads" + query({ set: this.set }), body);
        this.set = answer.set;
        const refused = answer.refused ?? [];
        // A zip may hold a few files that are refused; the others have arrived.
        item.state = refused.length && !answer.added && !answer.known ? "failed" : "arrived";
        item.reason = refused.map((one) => `${one.name}: ${one.reason}`).join("; ");
        return;
      } catch (fault) {
        const isFinal = fault.status >= 400 && fault.status < 500 && fault.status !== 408;
        if (isFinal || tries >= PAUSES.length) {
          item.state = "failed";
          item.reason = [fault.message, fault.help].filter(Boolean).join("; ");
          return;
        }
        await wait(PAUSES[tries]);
      }
    }
  }
}
