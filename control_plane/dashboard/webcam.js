// A photo taken by the webcam, when the one before it says so.

import { make } from "./dom.js";
import { dialog } from "./dialogs.js";
import { button, failure } from "./parts.js";

const WANTED = { video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false };
const QUALITY = 0.95;
const REFUSED = {
  NotAllowedError: "The browser may not use the camera. Allow it in the browser's address bar, then try again.",
  NotFoundError: "There is no camera on this computer.",
  NotReadableError: "Another program is using the camera. Close it, then try again.",
};

/** Show the webcam's picture; `taken(file)` is called for each photo. Several may be taken. */
export async function takePhoto(taken) {
  const video = make("video", { autoplay: true, playsInline: true, muted: true, className: "webcam", ariaLabel: "The webcam's picture" });
  const count = make("p", { className: "note", role: "status" }, "Look into the camera, with light from the front.");
  const take = button("Take", () => snap(), { symbol: "camera", disabled: true });
  const content = make("div", { className: "stack" }, video, count, make("div", { className: "actions" }, take));
  let stream = null;
  let closed = false;
  let number = 0;
  dialog("Take a photo", content, {
    closed() {
      closed = true;
      for (const track of stream?.getTracks() ?? []) track.stop();
    },
  });

  async function snap() {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    number += 1;
    taken(new File([blob], `Webcam ${number}`, { type: "image/jpeg" }));
    count.textContent = number === 1 ? "One photo taken. One or two more, slightly turned, help." : `${number} photos taken.`;
  }

  try {
    stream = await navigator.mediaDevices.getUserMedia(WANTED);
    if (closed) for (const track of stream.getTracks()) track.stop();
    video.srcObject = stream;
    video.addEventListener("loadeddata", () => (take.disabled = false));
  } catch (error) {
    content.replaceChildren(failure(new Error(REFUSED[error.name] ?? "The camera cannot be used here.")));
  }
}
