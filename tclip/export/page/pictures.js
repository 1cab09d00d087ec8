// From a picture file to what the image encoder takes: RGB bytes of the model's size, as in Python.

import { resize } from "./resample.js";

const MOST_PIXELS = 89_478_485; // of a picture once resized: PIL's own limit

// Read a file with the browser's decoder. Transparent pixels become white. Colour profiles and the rotation that
// EXIF asks for are left alone, as PIL leaves them.
export async function decode(file) {
  const bytes = withoutExif(new Uint8Array(await file.arrayBuffer()));
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type: file.type }), { colorSpaceConversion: "none" });
  } catch {
    throw new Error("no picture that this browser can read");
  }
  try {
    return drawn(bitmap);
  } finally {
    bitmap.close();
  }
}

function drawn(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`${width} x ${height} pixels are more than this browser can draw`);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8ClampedArray(width * height * 3);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = rgba[from];
    pixels[to + 1] = rgba[from + 1];
    pixels[to + 2] = rgba[from + 2];
  }
  return { pixels, width, height };
}

// A JPEG is a row of segments: FF, a letter, two bytes of length. EXIF is the one with the letter E1.
export function withoutExif(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return bytes;
  const kept = new Uint8Array(bytes.length);
  let length = 2;
  let begin = 2;
  kept.set(bytes.subarray(0, 2));
  while (begin + 4 <= bytes.length && bytes[begin] === 0xff && bytes[begin + 1] !== 0xda) {
    const end = begin + 2 + bytes[begin + 2] * 256 + bytes[begin + 3];
    const isExif =
      bytes[begin + 1] === 0xe1 && String.fromCharCode(...bytes.subarray(begin + 4, begin + 8)) === "Exif";
    if (!isExif) {
      kept.set(bytes.subarray(begin, end), length);
      length += Math.min(end, bytes.length) - begin;
    }
    begin = end;
  }
  kept.set(bytes.subarray(begin), length);
  return kept.subarray(0, length + Math.max(bytes.length - begin, 0));
}

// Resize and crop a picture as the model's preprocessor does; see "image" in model.json.
export function fit({ pixels, width, height }, steps) {
  let picture = { pixels, width, height };
  if (steps.resize !== null) {
    const [newHeight, newWidth] = target(steps.resize, height, width);
    if (newHeight * newWidth > MOST_PIXELS) throw new Error(`${width} x ${height} pixels are too long and thin`);
    picture = {
      pixels: resize(pixels, width, height, newWidth, newHeight, steps.filter),
      width: newWidth,
      height: newHeight,
    };
  }
  return steps.crop === null ? picture.pixels : cropped(picture, ...steps.crop);
}

function target(size, height, width) {
  if (Array.isArray(size)) return size;
  const longer = Math.trunc((size * Math.max(height, width)) / Math.min(height, width));
  return width <= height ? [longer, size] : [size, longer];
}

// Cut from the centre; where the picture is smaller, black is put around it first.
function cropped({ pixels, width, height }, cropHeight, cropWidth) {
  const before = (wanted, size) => Math.ceil(Math.max(wanted - size, 0) / 2);
  const start = (wanted, size) => Math.floor((Math.max(wanted, size) - wanted) / 2);
  const top = start(cropHeight, height) - before(cropHeight, height);
  const left = start(cropWidth, width) - before(cropWidth, width);
  const result = new Uint8ClampedArray(cropHeight * cropWidth * 3);
  for (let row = 0; row < cropHeight; row++) {
    if (row + top < 0 || row + top >= height) continue;
    const first = Math.max(left, 0);
    const last = Math.min(left + cropWidth, width);
    const source = ((row + top) * width + first) * 3;
    const place = (row * cropWidth + first - left) * 3;
    result.set(pixels.subarray(source, source + (last - first) * 3), place);
  }
  return result;
}
