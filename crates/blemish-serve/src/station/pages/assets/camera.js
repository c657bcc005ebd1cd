// This device's camera, to try a model out.
import { complain, el, keys, words } from "./dom.js";
import { ask, get } from "./api.js";

/** Shows the camera with a button that sends what it sees to the model. */
export async function openCamera(place, model) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(words.line.camera_needs);
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  const video = el("video", { autoplay: true, playsinline: true, muted: true });
  video.srcObject = stream;
  const stop = () => { stream.getTracks().forEach((track) => track.stop()); place.replaceChildren(); };
  const take = async () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((settle) => canvas.toBlob(settle, "image/jpeg", 0.95));
    const name = model || (await get("/state")).models[0].name;
    await ask("POST", `/v1/models/${encodeURIComponent(name)}/score`, blob);
  };
  const shoot = () => take().catch(complain);
  place.replaceChildren(video, el("div", { class: "row" },
    el("button", { type: "button", class: "main", text: words.line.camera_take, on: { click: shoot } }),
    el("button", { type: "button", text: words.line.camera_stop, on: { click: stop } })));
  // A camera that was stopped has a key no more.
  keys({ Enter: () => video.isConnected && shoot() });
}
