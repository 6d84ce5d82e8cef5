/** From a picture file to the raw pixels that the model takes, as `springfield predict` does it. */

import { PageError } from "./errors.mjs";

const MEGAPIXEL = 2 ** 20;
const STRIP = 4 * MEGAPIXEL;
const THUMBNAIL = 160;

/**
 * Decodes a picture as people see it: turned as its EXIF says, white where it is transparent.
 *
 * Pictures of four megapixels or more are averaged over blocks of k x k pixels, k being the
 * largest number that leaves a megapixel.
 *
 * @param {Blob} file
 * @returns {Promise<{pixels: Uint8Array, width: number, height: number, original: number[],
 *   thumbnail: Blob}>} pixels: height x width x 3, RGB; original: width and height in the file
 */
export async function decode(file) {
  if (!file.size) throw new PageError("error.emptyFile");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new PageError("error.notPicture");
  }
  const { width, height } = bitmap;
  try {
    const k = Math.max(1, Math.floor(Math.sqrt((width * height) / MEGAPIXEL)));
    const reduced = k < 2 ? read(bitmap, 0, height) : reduce(bitmap, k);
    return {
      pixels: reduced,
      width: Math.ceil(width / k),
      height: Math.ceil(height / k),
      original: [width, height],
      thumbnail: await thumbnail(bitmap),
    };
  } catch {
    throw new PageError("error.pictureTooLarge", { width, height });
  } finally {
    bitmap.close();
  }
}

/**
 * A bitmap on white, `width` x `height` pixels of it.
 *
 * @param {ImageBitmap} bitmap
 * @param {number} width
 * @param {number} height
 * @param {[number, number] | [number, number, number, number]} place - x, y, and its own size there
 */
function drawn(bitmap, width, height, ...place) {
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, .../** @type {[number, number]} */ (place));
  return context;
}

/**
 * RGB of `rows` rows from `top` on.
 *
 * @param {ImageBitmap} bitmap
 * @param {number} top
 * @param {number} rows
 */
function read(bitmap, top, rows) {
  const context = drawn(bitmap, bitmap.width, rows, 0, -top);
  const rgba = context.getImageData(0, 0, bitmap.width, rows).data;
  const rgb = new Uint8Array(bitmap.width * rows * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

/**
 * The means of blocks of k x k pixels (fewer at the right and lower edge), as RGB.
 *
 * Rounded like Pillow's Image.reduce, so that the model sees the very same pixels.
 *
 * @param {ImageBitmap} bitmap
 * @param {number} k
 */
function reduce(bitmap, k) {
  const { width, height } = bitmap;
  const columns = Math.ceil(width / k);
  const result = new Uint8Array(columns * Math.ceil(height / k) * 3);
  const strip = Math.max(1, Math.floor(STRIP / width / k)) * k; // bounds the memory
  const sums = new Uint32Array(columns * 3);
  let to = 0;
  for (let top = 0; top < height; top += strip) {
    const rgb = read(bitmap, top, Math.min(strip, height - top));
    const rows = rgb.length / 3 / width;
    for (let first = 0; first < rows; first += k) {
      const tall = Math.min(k, rows - first);
      sums.fill(0);
      for (let row = first; row < first + tall; row++) {
        let from = row * width * 3;
        for (let x = 0; x < width; x++) {
          const at = Math.floor(x / k) * 3;
          sums[at] += rgb[from++];
          sums[at + 1] += rgb[from++];
          sums[at + 2] += rgb[from++];
        }
      }
      for (let column = 0; column < columns; column++) {
        const count = tall * Math.min(k, width - column * k);
        const share = Math.floor(2 ** 24 / count);
        for (let channel = 0; channel < 3; channel++) {
          result[to++] = ((sums[column * 3 + channel] + (count >> 1)) * share) >>> 24;
        }
      }
    }
  }
  return result;
}

/** @param {ImageBitmap} bitmap */
async function thumbnail(bitmap) {
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((n) => Math.max(1, Math.round(n * scale)));
  return drawn(bitmap, width, height, 0, 0, width, height).canvas.convertToBlob({ type: "image/webp" });
}
