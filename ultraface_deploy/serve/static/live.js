// The live view: pictures from one stream, faces and numbers from another, boxes drawn here.

import { counted, drawBoxes } from "./boxes.js";
import { plot } from "./plot.js";
import { watch } from "./video.js";

const LOWEST = 0.3;
const KEPT = 60;
const HISTORY_MS = 10_000;
const FACES_WAIT_MS = 200;
const STAGES = ["read", "wait", "preprocess", "network", "postprocess", "encode"];
const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const context = canvas.getContext("2d");
// By the number of the picture they are of.
const found = new Map();
let shown = null;

// ---- The picture ----

async function show(number, blob) {
  const bitmap = await createImageBitmap(blob);
  const faces = await facesOf(number);
  shown?.bitmap.close();
  shown = { number, bitmap, faces };
  draw();
  $("hint").hidden = true;
  canvas.hidden = false;
  $("snapshot").disabled = false;
}

/** Faces are told before their picture is sent; give them a moment if they are late. */
async function facesOf(number) {
  const end = performance.now() + FACES_WAIT_MS;
  while (!found.has(number) && performance.now() < end) {
    await new Promise((go) => setTimeout(go, 5));
  }
  return found.get(number) ?? null;
}

function draw() {
  if (!shown) {
    return;
  }
  const { bitmap, faces, number } = shown;
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  context.drawImage(bitmap, 0, 0);
  const sure = (faces?.faces ?? []).filter(({ score }) => score > threshold());
  if ($("boxes").checked && faces) {
    drawBoxes(context, sure, bitmap.width / faces.width);
  }
  canvas.dataset.picture = number;
  canvas.dataset.known = String(faces !== null);
  canvas.ariaLabel = `Picture with ${counted(sure)}`;
  $("faces").textContent = faces ? sure.length : "–";
}

// A page that nobody looks at costs the board nothing.
async function watchWhileVisible() {
  for (;;) {
    const stop = new AbortController();
    const hide = () => document.hidden && stop.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      await watch(show, stop.signal);
    } catch (problem) {
      if (!stop.signal.aborted) {
        console.debug(problem);
      }
    }
    document.removeEventListener("visibilitychange", hide);
    do {
      await new Promise((go) => setTimeout(go, 1000));
    } while (document.hidden);
  }
}

// ---- Faces and numbers ----

function listen() {
  const events = new EventSource(`/v1/events?threshold=${LOWEST}`);
  events.addEventListener("faces", ({ data }) => {
    const faces = JSON.parse(data);
    found.set(faces.picture, faces);
    if (found.size > KEPT) {
      found.delete(found.keys().next().value);
    }
  });
  events.addEventListener("status", ({ data }) => tell(JSON.parse(data)));
  events.addEventListener("error", () => {
    say("The server does not answer; trying again…", true);
    // Numbers begin again when the server does.
    found.clear();
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 5000);
    }
  });
}

function tell(status) {
  const { source, board, milliseconds } = status;
  const away = source.state !== "running";
  if (away) {
    const why = source.reason ? ` (${source.reason})` : "";
    say(`${source.name} gives no picture, trying again${why}`, true);
    $("faces").textContent = "–";
    $("hint").textContent = "Waiting for the source…";
  } else {
    const again = source.returns ? `, opened again ${times(source.returns)}` : "";
    say(`Watching ${source.name}${again}`, false);
  }
  $("face-rate").textContent = status.faces_per_second.toFixed(1);
  $("rate").textContent = status.pictures_per_second.toFixed(1);
  $("viewers").textContent = status.viewers;
  $("cpu").textContent = `${Math.round(board.cpu_percent)} %`;
  const heat = board.temperature_c;
  $("temperature").textContent = heat === null ? "–" : `${heat.toFixed(0)} °C`;
  tellStages(milliseconds);
}

function tellStages(milliseconds) {
  const most = Math.max(...Object.values(milliseconds), 1e-9);
  const rows = STAGES.filter((name) => name in milliseconds).map((name) => {
    const row = document.createElement("tr");
    const head = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
    const bar = Object.assign(document.createElement("meter"), { max: most, min: 0 });
    bar.value = milliseconds[name];
    bar.ariaHidden = "true";
    const cells = [document.createElement("td"), document.createElement("td")];
    cells[0].append(bar);
    cells[1].textContent = milliseconds[name].toFixed(1);
    row.append(head, ...cells);
    return row;
  });
  $("stages").replaceChildren(...rows);
}

function say(text, problem) {
  if ($("state").textContent !== text) {
    $("state").textContent = text;
  }
  $("state").classList.toggle("problem", problem);
  canvas.classList.toggle("old", problem);
}

function times(number) {
  return number === 1 ? "once" : `${number} times`;
}

async function tellHour() {
  try {
    const { most, minutes } = plot($("plot"), await (await fetch("/v1/history")).json());
    $("plot-begin").textContent = minutes >= 60 ? "an hour ago" : `${minutes} minutes ago`;
    $("plot-most").textContent = `most at once: ${most}`;
  } catch {
    // Said by the events already.
  }
}

// ---- Controls ----

function threshold() {
  return Number($("threshold").value);
}

function slide() {
  $("threshold-value").value = threshold().toFixed(2);
  draw();
}

function takeSnapshot() {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `faces-${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/jpeg", 0.92);
}

async function begin() {
  const { model, threshold: own } = await (await fetch("/v1/status")).json();
  const precision = model.precision ? ` ${model.precision}` : "";
  $("model").textContent = `${model.name}, ${model.input.join("×")}, ${model.backend}${precision}`;
  $("threshold").value = own;
  slide();
  $("threshold").addEventListener("input", slide);
  $("boxes").addEventListener("change", draw);
  $("snapshot").addEventListener("click", takeSnapshot);
  listen();
  watchWhileVisible();
  tellHour();
  setInterval(tellHour, HISTORY_MS);
}

begin();
