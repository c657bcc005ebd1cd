// Charts, drawn at the size that they have on screen so that their text stays readable. The marks are those of the reports: good filled,
// defective hatched, a threshold dashed.
import { pageOf } from "./api.js";
import { percent, svg, words } from "./dom.js";

/** Gives a function that takes what draws the chart of a place: it draws now and whenever the place changes its width. */
export function keepDrawn(place) {
  let width = 0, draw = null;
  const again = () => { width = Math.floor(place.clientWidth); if (draw && width > 40) place.replaceChildren(draw(width)); };
  new ResizeObserver(() => { if (Math.floor(place.clientWidth) !== width) again(); }).observe(place);
  return (drawing) => { draw = drawing; again(); };
}

const hatch = (id) => svg("defs", {}, svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
  svg("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 })));

const frame = (width, height, label, ...children) =>
  svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...children);

/** Rates that people think in. */
const RATES = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0001];

/**
 * Where scores lie on the axis of the threshold: what is within the good images of the calibration takes most of it, what is worse than
 * all of them the rest, so that one wild score cannot squeeze the others.
 */
export function scoreAxis(calibration, live, left, right) {
  const low = Math.min(calibration[0], ...live), edge = calibration[calibration.length - 1];
  const high = Math.max(edge, ...live), share = high > edge ? 0.72 : 0.94;
  const inner = Math.max(edge - low, 1e-9), outer = Math.max(high - edge, 1e-9);
  const at = (score) => (score <= edge ? share * (score - low) / inner : share + (0.98 - share) * (score - edge) / outer);
  const x = (score) => left + (right - left) * Math.min(1, Math.max(0, at(score)));
  x.edge = x(edge);
  return x;
}

/**
 * The scores of the threshold screen: good images of the calibration below the axis, the line's above it, by label. `positions` are the
 * places of the handle, their rates ascending. Gives the drawing; the handle has the class `handle`.
 */
export function thresholdChart(width, { calibration, live, positions, label }) {
  const height = Math.max(260, Math.min(360, width * 0.5)), left = 8, right = width - 8, middle = Math.round(height * 0.56), bottom = height - 40, top = 34;
  const x = scoreAxis(calibration, live.map((one) => one.score), left, right);
  const bins = Math.max(24, Math.min(80, Math.floor(width / 10))), wide = (right - left) / bins;
  const into = (scores) => {
    const counts = new Array(bins).fill(0);
    scores.forEach((score) => { counts[Math.min(bins - 1, Math.floor((x(score) - left) / wide))]++; });
    return counts;
  };
  const kinds = [["open", null], ["good", "good"], ["hatched", "defective"]];
  const stacks = kinds.map(([, name]) => into(live.filter((one) => (one.label === "good" || one.label === "defective" ? one.label : null) === name).map((one) => one.score)));
  const below = into(calibration);
  const tallest = Math.max(1, ...stacks[0].map((_, bin) => stacks.reduce((sum, stack) => sum + stack[bin], 0)));
  const up = (middle - top) / tallest, down = (bottom - middle) / Math.max(1, ...below);
  const bars = [];
  for (let bin = 0; bin < bins; bin++) {
    const box = { x: left + bin * wide + 0.5, width: Math.max(1, wide - 1) };
    let base = middle;
    stacks.forEach((stack, kind) => {
      if (!stack[bin]) return;
      base -= stack[bin] * up;
      bars.push(svg("rect", { ...box, y: base, height: stack[bin] * up, class: kinds[kind][0] }));
    });
    if (below[bin]) bars.push(svg("rect", { ...box, y: middle, height: below[bin] * down, class: "calibrating" }));
  }
  // p-values where the rule has a threshold for them; those too close to a neighbour are left out.
  const ticks = [];
  let last = -60;
  for (const rate of RATES) {
    const position = positions.find((one) => one.rate >= rate * 0.999);
    if (!position || rate < positions[0].rate * 0.999) continue;
    const place = x(position.threshold);
    if (place - last < 46 || place > right - 14) continue;
    last = place;
    ticks.push(svg("line", { class: "axis", x1: place, x2: place, y1: bottom, y2: bottom + 6 }), svg("text", { x: place, y: bottom + 20, "text-anchor": "middle", text: percent(rate) }));
  }
  return frame(width, height, words.threshold.chart, hatch("hatch"),
    svg("rect", { class: "beyond", x: x.edge, width: right - x.edge, y: top, height: bottom - top }),
    ...bars,
    svg("line", { class: "axis", x1: left, x2: right, y1: middle, y2: middle }), svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    ...ticks,
    svg("text", { x: left, y: height - 4, class: "quiet", text: words.threshold.axis }),
    right - x.edge > 150 && svg("text", { x: right, y: height - 4, class: "quiet", "text-anchor": "end", text: words.threshold.beyond }),
    svg("text", { x: left, y: top + 6, class: "quiet halo", text: words.threshold.line }), svg("text", { x: left, y: bottom - 6, class: "quiet halo", text: words.threshold.calibration }),
    svg("g", { class: "handle", role: "slider", tabindex: 0, "aria-label": label, "aria-orientation": "horizontal", "data-top": top, "data-bottom": bottom },
      svg("rect", { class: "grip", x: -22, y: 2, width: 44, height: bottom }), svg("line", { class: "threshold", x1: 0, x2: 0, y1: 24, y2: bottom }),
      svg("path", { class: "knob", d: "M-11 4h22v13l-11 10l-11-10z" })));
}

const logAxis = (lowest, from, to) => {
  const span = Math.log10(1 / lowest);
  return (p) => from + (to - from) * Math.min(1, Math.max(0, Math.log10(1 / Math.max(p, lowest)) / span));
};

const decades = (lowest) => [1, 0.1, 0.01, 0.001, 0.0001].filter((p) => p >= lowest * 0.999);

/** p-values over time, newest at the right; flagged ones in another shape. */
export function timeline(width, { points, threshold, label }) {
  const height = Math.max(200, Math.min(280, width * 0.4)), left = 52, right = width - 10, top = 14, bottom = height - 26;
  const lowest = Math.min(0.01, ...points.map((point) => point.p));
  const y = logAxis(lowest, bottom, top), x = (index) => left + (right - left) * (points.length > 1 ? index / (points.length - 1) : 0.5);
  return frame(width, height, label,
    ...decades(lowest).flatMap((p) => [svg("line", { class: "grid", x1: left, x2: right, y1: y(p), y2: y(p) }), svg("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end", text: percent(p) })]),
    threshold && svg("line", { class: "threshold", x1: left, x2: right, y1: y(threshold), y2: y(threshold) }),
    ...points.map((point, index) => mark(x(index), y(point.p), point.flagged ? "flagged" : "passed", points.length > 200 ? 2.5 : 3.5, point)),
    svg("text", { x: left, y: height - 4, class: "quiet", text: words.drift.axis }));
}

function mark(x, y, kind, size, { id, title }) {
  const shape = kind === "flagged"
    ? svg("path", { class: "cross", d: `M${x - size} ${y - size}l${2 * size} ${2 * size}M${x + size} ${y - size}l${-2 * size} ${2 * size}` })
    : svg("circle", { class: "dot", cx: x, cy: y, r: size });
  if (title) shape.append(svg("title", { text: title }));
  return id ? svg("a", { href: pageOf(id), tabindex: -1 }, shape) : shape;
}

/** p-values of two models against each other. */
export function pairs(width, { points, rates, label, names }) {
  const size = Math.min(width, 520), left = 56, right = size - 10, top = 10, bottom = size - 50;
  const lowest = Math.min(0.01, ...points.flatMap((point) => [point.x, point.y]));
  const x = logAxis(lowest, left, right), y = logAxis(lowest, bottom, top);
  return frame(size, size, label,
    ...decades(lowest).flatMap((p) => [
      svg("line", { class: "grid", x1: left, x2: right, y1: y(p), y2: y(p) }), svg("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end", text: percent(p) }),
      svg("line", { class: "grid", x1: x(p), x2: x(p), y1: top, y2: bottom }), svg("text", { x: x(p), y: bottom + 18, "text-anchor": p === 1 ? "start" : x(p) > right - 20 ? "end" : "middle", text: percent(p) })]),
    svg("line", { class: "chance", x1: left, y1: bottom, x2: right, y2: top }),
    rates[0] && svg("line", { class: "threshold", x1: x(rates[0]), x2: x(rates[0]), y1: top, y2: bottom }),
    rates[1] && svg("line", { class: "threshold", x1: left, x2: right, y1: y(rates[1]), y2: y(rates[1]) }),
    ...points.map((point) => mark(x(point.x), y(point.y), point.disagrees ? "flagged" : "passed", 4, point)),
    svg("text", { x: (left + right) / 2, y: size - 8, "text-anchor": "middle", text: names[0] }),
    svg("text", { transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", text: names[1] }));
}

/** A rate with its interval as a bar. */
export function interval(rate) {
  const top = Math.max(0.1, Math.min(1, rate.high * 1.2)), x = (share) => 100 * share / top;
  return svg("svg", { class: "interval", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 4, width: 100, height: 4 }),
    svg("rect", { class: "reach", x: x(rate.low), y: 2, width: Math.max(0.8, x(rate.high) - x(rate.low)), height: 8 }),
    rate.rate !== null && svg("rect", { class: "at", x: x(rate.rate) - 0.5, y: 0, width: 1, height: 12 }));
}

