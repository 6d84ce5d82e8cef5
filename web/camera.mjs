/** A picture from the camera. */

import { PageError } from "./errors.mjs";

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
    throw new PageError(REASONS[error.name] ?? "error.noCamera");
  }
  const [dialog, video, take] = ["camera-dialog", "video", "take"].map((id) =>
    document.getElementById(id),
  );
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

function answer(dialog, video, take) {
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(null);
    document.getElementById("camera-close").onclick = () => resolve(null);
    take.onclick = () => {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob(resolve, "image/png");
    };
  });
}
