/** From a picture file to the raw pixels that the model takes, as `springfield predict` does it. */

import { PageError } from "./errors.mjs";

/** @import { Shift } from "./types.ts" */

const MEGAPIXEL = 2 ** 20;
const STRIP = 4 * MEGAPIXEL;
const THUMBNAIL = 160;
const SHOWN = 800;
/** Longest side of a picture that only people see. */

/**
 * Decodes a picture as people see it: turned as its EXIF says, white where it is transparent.
 *
 * Pictures of four megapixels or more are averaged over blocks of k x k pixels, k being the
 * largest number that leaves a megapixel.
 *
 * @param {Blob} file
 * @param {{width: number|null, height: number|null}} wanted - what the model takes; null: any size
 * @param {Shift|null} [shift]
 * @returns {Promise<{pixels: Uint8Array, width: number, height: number, block: number,
 *   original: number[], thumbnail: Blob, moved?: Blob}>} pixels: height x width x 3, RGB; block: k;
 *   original: width and height in the file; moved: what was looked at, where that was shifted
 */
export async function decode(file, wanted, shift) {
  if (!file.size) throw new PageError("error.emptyFile");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    const there = await file.slice(0, 1).arrayBuffer().catch(() => null);
    throw new PageError(there ? "error.notPicture" : "error.fileGone");
  }
  const { width, height } = bitmap;
  try {
    if (shift) bitmap = shifted(bitmap, inside(shift.x, width), inside(shift.y, height));
    return {
      ...seen(bitmap, wanted),
      original: [width, height],
      thumbnail: await small(bitmap, THUMBNAIL),
      moved: shift ? await small(bitmap, SHOWN) : undefined,
    };
  } catch {
    throw new PageError("error.pictureTooLarge", { width, height });
  } finally {
    bitmap.close();
  }
}

/**
 * The pixels that the model takes, and how many.
 *
 * @param {ImageBitmap} bitmap
 * @param {{width: number|null, height: number|null}} wanted
 */
function seen(bitmap, wanted) {
  const { width, height } = bitmap;
  if (wanted.width && wanted.height) {
    const sized = drawn(bitmap, wanted.width, wanted.height, 0, 0, wanted.width, wanted.height);
    return { pixels: rgb(sized), width: wanted.width, height: wanted.height, block: 1 };
  }
  const k = Math.max(1, Math.floor(Math.sqrt((width * height) / MEGAPIXEL)));
  const pixels = k < 2 ? read(bitmap, 0, height) : reduce(bitmap, k);
  return { pixels, width: Math.ceil(width / k), height: Math.ceil(height / k), block: k };
}

/**
 * Whole pixels of a shift, one of them at least staying in the picture.
 *
 * @param {number} share
 * @param {number} size
 */
function inside(share, size) {
  return Math.max(1 - size, Math.min(size - 1, Math.round(share * size)));
}

/**
 * A picture moved within its frame; what comes in at the edges repeats them.
 *
 * @param {ImageBitmap} bitmap - it is closed
 * @param {number} dx - pixels to the right
 * @param {number} dy - and down
 */
function shifted(bitmap, dx, dy) {
  const { width, height } = bitmap;
  const context = drawn(bitmap, width, height, dx, dy);
  bitmap.close();
  const { canvas } = context;
  context.imageSmoothingEnabled = false;
  const column = dx > 0 ? dx : width + dx - 1;
  if (dx) context.drawImage(canvas, column, 0, 1, height, dx > 0 ? 0 : column, 0, Math.abs(dx) + 1, height);
  const row = dy > 0 ? dy : height + dy - 1;
  if (dy) context.drawImage(canvas, 0, row, width, 1, 0, dy > 0 ? 0 : row, width, Math.abs(dy) + 1);
  return canvas.transferToImageBitmap();
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
  return rgb(drawn(bitmap, bitmap.width, rows, 0, -top));
}

/**
 * The pixels of a canvas, height x width x 3.
 *
 * @param {OffscreenCanvasRenderingContext2D} context
 */
function rgb(context) {
  const { width, height } = context.canvas;
  const rgba = context.getImageData(0, 0, width, height).data;
  const result = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    result[to++] = rgba[from];
    result[to++] = rgba[from + 1];
    result[to++] = rgba[from + 2];
  }
  return result;
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
    const part = read(bitmap, top, Math.min(strip, height - top));
    const rows = part.length / 3 / width;
    for (let first = 0; first < rows; first += k) {
      const tall = Math.min(k, rows - first);
      sums.fill(0);
      for (let row = first; row < first + tall; row++) {
        let from = row * width * 3;
        for (let x = 0; x < width; x++) {
          const at = Math.floor(x / k) * 3;
          sums[at] += part[from++];
          sums[at + 1] += part[from++];
          sums[at + 2] += part[from++];
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

/**
 * @param {ImageBitmap} bitmap
 * @param {number} most - pixels of its longer side
 */
async function small(bitmap, most) {
  const scale = Math.min(1, most / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((n) => Math.max(1, Math.round(n * scale)));
  return drawn(bitmap, width, height, 0, 0, width, height).canvas.convertToBlob({ type: "image/webp" });
}
