// The slider under the histogram: every move counts anew what the threshold tells apart.
(() => {
  const data = JSON.parse(document.getElementById("scores").textContent);
  const at = (id) => document.getElementById(id);
  const slider = at("slider"), field = at("value"), steps = Number(slider.max);
  const { percent } = decide;
  const show = (id, text) => { const place = at(id); if (place) place.textContent = text; };

  function update(t, moved) {
    const count = (scores) => decide.count(scores, t, data.strict);
    const alarms = count(data.good), good = data.good.length;
    let found = 0, defective = 0;
    data.defects.forEach((scores, kind) => {
      const here = count(scores);
      found += here;
      defective += scores.length;
      show("found-" + kind, here + " of " + scores.length);
    });
    show("tp", found); show("fn", defective - found); show("fp", alarms); show("tn", good - alarms);
    show("recall", percent(found, defective));
    show("alarms", percent(alarms, good));
    show("precision", percent(found, found + alarms));
    show("f1", percent(2 * found, 2 * found + alarms + defective - found));
    show("accuracy", percent(found + good - alarms, good + defective));
    const share = Math.min(1, Math.max(0, (t - data.low) / (data.high - data.low)));
    const line = at("threshold-line");
    if (line) line.setAttribute("transform", "translate(" + share * data.span + " 0)");
    place("roc-point", good ? alarms / good : 0, defective ? found / defective : 0);
    place("pr-point", defective ? found / defective : 0, found + alarms ? found / (found + alarms) : 1);
    if (moved !== slider) slider.value = Math.round(share * steps);
    if (moved !== field) field.value = Number(t.toPrecision(6));
    slider.setAttribute("aria-valuetext", "threshold " + t.toPrecision(4) + ": " + found + " of " + defective +
      " defective images found, " + alarms + " of " + good + " good images flagged");
  }

  // A point of a chart knows where (0, 0) is and how long its axes are.
  function place(id, x, y) {
    const point = at(id);
    if (!point) return;
    const box = point.dataset;
    point.setAttribute("cx", Number(box.left) + x * Number(box.width));
    point.setAttribute("cy", Number(box.bottom) - y * Number(box.height));
  }

  slider.addEventListener("input", () => update(data.low + slider.value / steps * (data.high - data.low), slider));
  field.addEventListener("input", () => { if (field.value !== "") update(Number(field.value), field); });
  at("reset").addEventListener("click", () => update(data.threshold, null));
  at("controls").hidden = false;
  update(data.threshold, null);
})();
