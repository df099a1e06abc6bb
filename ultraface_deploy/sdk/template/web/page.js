// The page: a picture or the camera, its faces, and the thresholds.

import { Detector, className, model } from "./detector.js";

const part = (id) => document.getElementById(id);
const stage = part("stage");
const canvas = part("canvas");
const video = part("video");
const context = canvas.getContext("2d", { willReadFrequently: true });
const aspect = part("aspect");
const sliders = { threshold: part("threshold"), overlap: part("overlap") };

const named = model.classNames.length > 0;

let detector;
let picture; // what is shown: an ImageBitmap, or the video
let pixels; // of a still picture, read once
let stream; // of the camera, while it runs
let facing = "user";
let wanted = false; // a picture waits for the detector
let busy = false;
let rate = 0;
let spoken = 0;

// ---- What is said ----

function say(text, problem = false) {
  const status = part("status");
  status.textContent = text;
  status.classList.toggle("problem", problem);
}

function threadsUsed(count) {
  if (count > 1) return `${count} threads look at a picture together.`;
  if (navigator.hardwareConcurrency === 1) return "One thread: this device has one core.";
  if (crossOriginIsolated) return "One thread: this browser starts no more.";
  return "One thread: with two headers from the server there would be more, see README.md.";
}

function counted(count) {
  return count === 1 ? "1 face" : `${count} faces`;
}

// ---- Detection ----

async function look() {
  if (!detector || !picture) return;
  if (busy) {
    wanted = true;
    return;
  }
  busy = true;
  wanted = false;
  const shown = picture;
  try {
    // Drawn first, so that boxes belong to the pixels under them.
    draw(shown);
    const data = pixels ?? context.getImageData(0, 0, canvas.width, canvas.height);
    if (!stream) pixels = data;
    const { faces, milliseconds } = await detector.detectTimed(data, options());
    if (shown === picture) show(faces, milliseconds);
  } catch (error) {
    say(error.message, true);
  }
  busy = false;
  if (wanted) look();
}

function options() {
  const { threshold, overlap } = sliders;
  return {
    threshold: Number(threshold.value),
    overlap: Number(overlap.value),
    keepAspect: aspect.checked,
  };
}

function draw(source) {
  const width = source.videoWidth ?? source.width;
  const height = source.videoHeight ?? source.height;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.drawImage(source, 0, 0);
}

function show(faces, milliseconds) {
  if (pixels && !stream) context.putImageData(pixels, 0, 0);
  const unit = Math.max(canvas.width, canvas.height) / 640;
  context.lineWidth = Math.max(2, 2.5 * unit);
  context.font = `${Math.max(12, 13 * unit)}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const face of faces) mark(face, unit);
  part("count").textContent = faces.length;
  part("time").textContent = milliseconds.toFixed(1);
  list(faces);
  canvas.setAttribute("aria-label", `Picture with ${counted(faces.length)} marked`);
  part("save").disabled = false;
  // A screen reader shall not be told of every frame of a video.
  const now = performance.now();
  if (!stream || now - spoken > 3000) {
    spoken = now;
    say(`${counted(faces.length)} found in ${milliseconds.toFixed(1)} ms`);
  }
}

function mark({ box: [x1, y1, x2, y2], score, label }, unit) {
  context.strokeStyle = "#00e08a";
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  if (x2 - x1 < 30 * unit) return;
  const text = `${className(label) ?? ""} ${score.toFixed(2)}`.trim();
  const high = Math.max(12, 13 * unit) * 1.3;
  context.fillStyle = "#00e08a";
  context.fillRect(x1, y1 - high, context.measureText(text).width + 6 * unit, high);
  context.fillStyle = "#00331f";
  context.fillText(text, x1 + 3 * unit, y1 - 1 * unit);
}

function list(faces) {
  const rows = faces.map(({ box: [x1, y1, x2, y2], score, label }) => {
    const row = document.createElement("tr");
    const values = [score.toFixed(3), ...[x1, y1, x2 - x1, y2 - y1].map((side) => side.toFixed(0))];
    if (named) values.push(className(label));
    row.append(
      ...values.map((value) => {
        const cell = document.createElement("td");
        cell.textContent = value;
        return cell;
      }),
    );
    return row;
  });
  part("rows").replaceChildren(...rows);
}

function take(source) {
  picture = source;
  pixels = undefined;
  canvas.hidden = false;
  part("hint").hidden = true;
  stage.classList.add("filled");
  look();
}

// ---- Pictures ----

async function openFile(file) {
  if (!file) return;
  stopCamera();
  try {
    take(await createImageBitmap(file, { colorSpaceConversion: "none" }));
  } catch {
    say(`${file.name || "That"} is no picture that this browser can read`, true);
  }
}

function save() {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "faces.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

// ---- Camera ----

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    say("The camera needs a page from https:// or from localhost", true);
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    const reasons = {
      NotAllowedError: "The camera was not allowed",
      NotFoundError: "There is no camera",
      NotReadableError: "The camera is in use by another program",
    };
    say(reasons[error.name] ?? `The camera does not start (${error.name})`, true);
    return;
  }
  video.srcObject = stream;
  video.hidden = false;
  await video.play();
  part("camera").setAttribute("aria-pressed", "true");
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(
    ({ kind }) => kind === "videoinput",
  );
  part("turn").hidden = cameras.length < 2;
  take(video);
  frames(stream);
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = undefined;
  video.srcObject = null;
  video.hidden = true;
  picture = undefined;
  rate = 0;
  part("rate").textContent = "–";
  part("turn").hidden = true;
  part("camera").setAttribute("aria-pressed", "false");
}

/** Look at each frame that the detector has time for. */
async function frames(mine) {
  let before = performance.now();
  while (stream === mine) {
    await new Promise((resolve) =>
      video.requestVideoFrameCallback
        ? video.requestVideoFrameCallback(resolve)
        : requestAnimationFrame(resolve),
    );
    if (stream !== mine) return;
    await look();
    const now = performance.now();
    const latest = 1000 / (now - before);
    rate = rate ? 0.9 * rate + 0.1 * latest : latest;
    before = now;
    part("rate").textContent = rate.toFixed(0);
  }
}

// ---- Controls ----

part("file").addEventListener("change", ({ target }) => {
  openFile(target.files[0]);
  target.value = ""; // so that the same picture can be chosen again
});
part("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
part("turn").addEventListener("click", () => {
  facing = facing === "user" ? "environment" : "user";
  stopCamera();
  startCamera();
});
part("save").addEventListener("click", save);
document.addEventListener("paste", ({ clipboardData }) => openFile(clipboardData.files[0]));
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") openFile(event.dataTransfer.files[0]);
  });
}
sliders.threshold.value = model.scoreThreshold;
sliders.overlap.value = 0.3;
for (const [name, slider] of Object.entries(sliders)) {
  const output = part(`${name}-value`);
  const update = () => (output.value = Number(slider.value).toFixed(2));
  slider.addEventListener("input", () => {
    update();
    look();
  });
  update();
}

aspect.addEventListener("change", look);

part("class").hidden = !named;

try {
  detector = await Detector.load();
  part("threads").textContent = threadsUsed(detector.threads);
  say("Ready");
  look();
} catch (error) {
  say(error.message, true);
}

// Kept for use without a network; the first visit works without it.
navigator.serviceWorker?.register("offline.js").catch(() => {});
