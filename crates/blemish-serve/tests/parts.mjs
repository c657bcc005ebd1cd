// Made-up parts as PNG files: a woven surface, with a dark spot where a defect is wanted.
import { writeFileSync } from "node:fs";
import { deflateSync } from "node:zlib";

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]);
  let sum = 0xffffffff;
  for (const byte of body) sum = table[(sum ^ byte) & 255] ^ (sum >>> 8);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE((sum ^ 0xffffffff) >>> 0, body.length + 4);
  return out;
}

/** Numbers in [0, 1) that depend on the seed alone. */
export function random(seed) {
  let state = seed * 2654435761 >>> 0 || 1;
  return () => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state / 2 ** 32;
  };
}

/**
 * A part of width x height pixels. `spot` is {x, y, radius} in pixels and the grey `value` in it; `isTurned` stores it as a camera does that was turned by a quarter:
 * the file's width is the picture's height, and `withOrientation` of 6 tells so.
 */
export function part(width, height, seed, spot = null, isTurned = false) {
  const next = random(seed + 1), shift = 6 * next(), pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let value = 128 + 34 * Math.sin((x + shift) / 3) * Math.cos((y + shift) / 3) + 14 * (next() - 0.5);
      if (spot && Math.hypot(x + 0.5 - spot.x, y + 0.5 - spot.y) < spot.radius) value = spot.value;
      const place = 3 * (y * width + x);
      pixels[place] = value;
      pixels[place + 1] = 0.95 * value;
      pixels[place + 2] = 0.9 * value;
    }
  }
  return isTurned ? png(height, width, quarter(pixels, width, height)) : png(width, height, pixels);
}

/** The pixels as a camera stores them that was turned: shown after a quarter turn clockwise they are upright. */
function quarter(pixels, width, height) {
  const out = Buffer.alloc(pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.copy(out, 3 * ((width - 1 - x) * height + y), 3 * (y * width + x), 3 * (y * width + x) + 3);
  }
  return out;
}

/** The JPEG file with the tag of EXIF that says how it lies. */
export function withOrientation(jpeg, orientation) {
  const tag = Buffer.from("ffe100224578696600004d4d002a00000008000101120003000000010000000000000000", "hex");
  tag.writeUInt16BE(orientation, 28);
  return Buffer.concat([jpeg.subarray(0, 2), tag, jpeg.subarray(2)]);
}

function png(width, height, pixels) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  head[9] = 2;
  const rows = Buffer.alloc(height * (3 * width + 1));
  for (let y = 0; y < height; y++) pixels.copy(rows, y * (3 * width + 1) + 1, 3 * y * width, 3 * (y + 1) * width);
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** Writes n good parts into a folder; gives their paths. */
export function goodParts(folder, n, width = 160, height = 160, from = 0) {
  return Array.from({ length: n }, (_, index) => {
    const path = `${folder}/good-${String(from + index).padStart(3, "0")}.png`;
    writeFileSync(path, part(width, height, 100 + from + index));
    return path;
  });
}
