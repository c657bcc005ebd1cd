// An exported model in the browser: the model's transform, the graph in onnxruntime-web, and the check by self-test pictures.

/** Weights of a row of `to` pixels out of `from`, as whole numbers over 2^bits: triangles as wide as the scale, as Pillow has them. */
function weights(from, to) {
  const reach = 2 * Math.max(from, to);
  const rows = Array.from({ length: to }, (_, target) => {
    const row = [];
    for (let source = 0; source < from; source++) {
      const share = 1 - Math.abs((2 * source + 1) * to - (2 * target + 1) * from) / reach;
      if (share > 0) row.push([source, share]);
    }
    const sum = row.reduce((all, [, share]) => all + share, 0);
    return row.map(([source, share]) => [source, share / sum]);
  });
  const highest = Math.max(...rows.flat().map(([, share]) => share));
  let bits = 0;
  while (bits < 21 && Math.round(highest * 2 ** (bits + 1)) < 32768) bits++;
  return rows.map((row) => row.map(([source, share]) => [source, Math.round(share * 2 ** bits) / 2 ** bits]));
}

/** RGB bytes, height x width x 3, at another size: rows first, then columns, rounded after each pass. */
function resize({ data, height, width }, to) {
  const pass = (source, count, step, lines, lineStep, table) => {
    const out = new Uint8Array(table.length * lines * 3);
    const outStep = step === 3 ? 3 : lines * 3, outLine = step === 3 ? table.length * 3 : 3;
    for (let line = 0; line < lines; line++)
      table.forEach((row, target) => {
        for (let channel = 0; channel < 3; channel++) {
          let sum = 0.5;
          for (const [at, weight] of row) sum += weight * source[line * lineStep + at * step + channel];
          out[line * outLine + target * outStep + channel] = Math.min(255, Math.floor(sum));
        }
      });
    return out;
  };
  let rows = data;
  if (height !== to.height) rows = pass(data, height, width * 3, width, 3, weights(height, to.height));
  if (width !== to.width) rows = pass(rows, width, 3, to.height, width * 3, weights(width, to.width));
  return { data: rows, ...to };
}

/** The tensor that the model's transform makes of RGB bytes: 3 x h x w in [0, 1]. */
export function transform(picture, { resize: rule, crop, region_of_interest }) {
  if (region_of_interest) throw new Error("export models with a region of interest with --input any: the graph then does the transform");
  const shorter = Math.min(picture.height, picture.width);
  const scaled = (side, length) => Math.floor((side * length) / shorter);
  const to = rule.exact ?? (rule.shorter_side
    ? { height: scaled(rule.shorter_side, picture.height), width: scaled(rule.shorter_side, picture.width) }
    : { height: picture.height, width: picture.width });
  const { data, height, width } = resize(picture, { height: to.height, width: to.width });
  const { height: rows, width: columns } = crop ?? { height, width };
  const offset = (margin) => { const half = margin >> 1; return margin % 2 && half % 2 ? half + 1 : half; };
  const [top, left] = [offset(height - rows), offset(width - columns)];
  const planes = new Float32Array(3 * rows * columns);
  for (let channel = 0; channel < 3; channel++)
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++)
        planes[(channel * rows + y) * columns + x] = Math.fround(data[((y + top) * width + x + left) * 3 + channel] / 255);
  return { planes, height: rows, width: columns };
}

/** The RGB bytes of a file or blob, by a canvas. */
export async function pixels(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { height, width } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(height * width * 3);
  for (let at = 0; at < height * width; at++) data.set(rgba.subarray(4 * at, 4 * at + 3), 3 * at);
  return { data, height, width };
}

/** A graph that `blemish export` wrote, with what its selftest.json says. */
export class Model {
  static async load(ort, graph, test) {
    const session = await ort.InferenceSession.create(graph);
    return Object.assign(new Model(), { ort, session, test });
  }

  /** Score, p-value, decision and map of a picture. */
  async score(picture) {
    let tensor;
    if (this.test.input === "tensor") {
      if (this.test.transform.length > 1) throw new Error("export models of several input sizes with --input any");
      const { planes, height, width } = transform(picture, this.test.transform[0]);
      tensor = new this.ort.Tensor("float32", planes, [1, 3, height, width]);
    } else {
      tensor = new this.ort.Tensor("uint8", picture.data, [1, picture.height, picture.width, 3]);
    }
    const { score, p_value, anomalous, map } = await this.session.run({ image: tensor });
    return { score: score.data[0], pValue: p_value?.data[0], anomalous: anomalous && Boolean(anomalous.data[0]), map };
  }

  /** Scores the self-test pictures, which `fetchPicture` gives by name; what is off is said. */
  async check(fetchPicture) {
    const lines = [];
    for (const known of this.test.images) {
      const picture = await pixels(await fetchPicture(known.file));
      // Pictures for `tensor` are as the transform leaves them: a transform to the size that they have changes nothing.
      const [of] = this.test.transform;
      const same = { ...of, resize: { exact: { height: picture.height, width: picture.width } }, crop: null };
      const model = this.test.input === "tensor" ? Object.assign(new Model(), this, { test: { ...this.test, transform: [same] } }) : this;
      const found = await model.score(picture);
      const off = Math.abs(found.score - known.score);
      const isRight = off <= this.test.allowed_difference && (known.anomalous === null || found.anomalous === known.anomalous);
      lines.push({ file: known.file, known: known.score, score: found.score, off, isRight });
    }
    return lines;
  }
}
