/** A picture from the camera. */

import { PageError } from "./errors.mjs";
import { $ } from "./document.mjs";

/** @type {Record<string, string>} */
const REASONS = {
  NotFoundError: "error.noCamera",
  OverconstrainedError: "error.noCamera",
  NotAllowedError: "error.cameraDenied",
  SecurityError: "error.cameraDenied",
  NotReadableError: "error.cameraBusy",
  AbortError: "error.cameraBusy",
};

/**
 * Shows the camera in a dialog until a picture is taken or the dialog closed.
 *
 * @returns {Promise<Blob|null>} the picture as PNG; null: closed without one
 */
export async function takePicture() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new PageError(isSecureContext ? "error.noCamera" : "error.cameraInsecure");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const { name } = /** @type {DOMException} */ (error);
    throw new PageError(REASONS[name] ?? "error.noCamera");
  }
  const [dialog, video, take] = [$("camera-dialog"), $("video"), $("take")];
  take.disabled = true;
  video.onloadeddata = () => (take.disabled = false);
  video.srcObject = stream;
  dialog.showModal();
  try {
    return await answer(dialog, video, take);
  } finally {
    dialog.close();
    video.srcObject = null;
    for (const track of stream.getTracks()) track.stop();
  }
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLVideoElement} video
 * @param {HTMLButtonElement} take
 * @returns {Promise<Blob|null>}
 */
function answer(dialog, video, take) {
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(null);
    $("camera-close").onclick = () => resolve(null);
    take.onclick = () => {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(video, 0, 0);
      canvas.toBlob(resolve, "image/png");
    };
  });
}
