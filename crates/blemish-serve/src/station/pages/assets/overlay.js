// A picture with its anomaly map and regions over it. All three share one box, so they cannot come apart at any size.
import { at, el, keys, svg, words } from "./dom.js";
import { picture } from "./api.js";
import { COLOURS, OPACITY } from "./colours.js";

const WAITS = [120, 250, 500, 1000, 2000];
const levels = new Map();
for (let level = 0; level < 256; level++) levels.set(COLOURS[3 * level] << 16 | COLOURS[3 * level + 1] << 8 | COLOURS[3 * level + 2], level);

/** Loads a picture; the history may write it a moment after the verdict is told. */
function load(address, isWanted) {
  return new Promise((settle) => {
    const attempt = (tries) => {
      const image = new Image();
      image.onload = () => settle(image);
      image.onerror = () => {
        if (tries >= WAITS.length || !isWanted()) settle(null);
        else setTimeout(() => attempt(tries + 1), WAITS[tries]);
      };
      image.src = address;
    };
    attempt(0);
  });
}

/** Gives each colour of a map the opacity of its level, as in the overlays that `predict` draws: what is normal stays as it is. */
function paint(map, canvas) {
  canvas.width = map.naturalWidth;
  canvas.height = map.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(map, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
  for (let place = 0; place < data.length; place += 4) {
    const level = levels.get(data[place] << 16 | data[place + 1] << 8 | data[place + 2]) ?? 0;
    data[place + 3] = Math.round(OPACITY * level);
  }
  context.putImageData(pixels, 0, 0);
}

/** The box for one image at a time. */
export class Overlay {
  /** Fills `place` and keeps it. */
  constructor(place) {
    this.canvas = el("canvas", { class: "map", "aria-hidden": "true" });
    this.regions = svg("svg", { class: "marks", "aria-hidden": "true", preserveAspectRatio: "none" });
    this.box = el("div", { class: "box", hidden: true });
    this.note = el("p", { class: "soft centre", hidden: true, text: words.line.not_kept });
    this.isShown = true;
    this.place = place;
    place.replaceChildren(this.box, this.note);
  }

  /**
   * Shows an image of the history with what a model said of it, or one that carries its own addresses (`addresses`). Whatever was asked
   * for before and comes later is not shown.
   */
  async show(row, said = row.verdict, addresses = null) {
    this.wanted = row.id;
    const isWanted = () => this.wanted === row.id;
    const [original, map, small] = addresses ?? ["original", "map.png", "thumb.jpg"].map((part) => picture(row.id, part));
    const drawing = row.has_map === false || !map ? null : load(map, isWanted);
    let image = row.has_original === false ? null : await load(original, isWanted);
    // What a browser cannot show, such as TIFF, has a small picture at least.
    if (!image && isWanted() && small) image = await load(small, () => false);
    if (!isWanted()) return;
    const [height, width] = row.size ?? [image?.naturalHeight ?? 3, image?.naturalWidth ?? 4];
    this.place.style.setProperty("--ratio", String(width / height));
    this.box.hidden = !image;
    this.note.hidden = Boolean(image);
    if (!image) return;
    image.alt = words.line.picture + (row.name ? `: ${row.name}` : "");
    this.canvas.hidden = true;
    this.box.dataset.image = row.id;
    this.box.replaceChildren(image, this.canvas, this.regions);
    this.mark(said?.regions ?? [], height, width);
    const drawn = await drawing;
    if (!isWanted() || !drawn) return;
    paint(drawn, this.canvas);
    // The map may cover a part of the image only, such as a centre crop.
    const frame = said?.frame ?? { x: 0, y: 0, width, height };
    const share = (value, whole) => `${100 * value / whole}%`;
    const place = { left: share(frame.x, width), width: share(frame.width, width), top: share(frame.y, height), height: share(frame.height, height) };
    for (const [name, value] of Object.entries(place)) this.canvas.style.setProperty(name, value);
    this.canvas.hidden = false;
  }

  /** Shows no image. */
  clear() {
    this.wanted = null;
    this.box.hidden = this.note.hidden = true;
  }

  /** Draws the boxes of regions with their numbers. */
  mark(regions, height, width) {
    this.regions.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const letter = Math.max(height, width) / 26;
    this.regions.replaceChildren(...regions.slice(0, 20).map((region, index) => {
      const { x, y, width: wide, height: high } = region.box;
      const isAtEdge = x + wide + letter > width;
      return svg("g", {},
        svg("rect", { x, y, width: wide, height: high, class: "under" }),
        svg("rect", { x, y, width: wide, height: high }),
        svg("text", { x: isAtEdge ? x - letter / 4 : x + wide + letter / 4, y: y + letter, set: { "font-size": `${letter}px` },
          "text-anchor": isAtEdge ? "end" : "start", text: String(index + 1) }));
    }));
  }

  /** How strongly the map shows, 0 to 1. */
  set opacity(value) {
    this.box.style.setProperty("--map", String(value));
  }

  /** Shows or hides map and regions. */
  toggle() {
    this.isShown = !this.isShown;
    this.box.classList.toggle("bare", !this.isShown);
  }

  /** Lets the page's switch, its key and its slider steer it. */
  obey() {
    const toggle = () => { this.toggle(); at("overlay").setAttribute("aria-pressed", String(this.isShown)); };
    keys({ o: toggle });
    at("overlay").addEventListener("click", toggle);
    at("opacity").addEventListener("input", () => { this.opacity = at("opacity").value / 100; });
  }
}
