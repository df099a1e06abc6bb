// import { Detector } from "..."; see README.md and detector.d.ts.

import { detect, open } from "./engine.js";
import { model } from "./model.js";

const MOST = 1000;
const MOST_CANDIDATES = 200;
const DEFAULTS = {
  threshold: model.scoreThreshold,
  overlap: 0.3,
  candidates: MOST_CANDIDATES,
  limit: MOST,
  keepAspect: false,
};

export { model };

/** What the class of a label is called; null where the network does not say. */
export const className = (label) => model.classNames[label - 1] ?? null;

export class Detector {
  #worker;
  #engine;
  #threads = 1;
  #waiting = new Map();
  #next = 0;
  #closed = false;

  /** Load the detector; `worker: false` keeps it in this thread; see detector.d.ts. */
  static async load({ worker = typeof Worker !== "undefined", threads, url, threadsUrl } = {}) {
    if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
      throw new RangeError(`threads ${threads}: give a whole number from 1`);
    }
    const files = {
      one: new URL(url ?? "./ultraface.wasm", import.meta.url).href,
      several: new URL(threadsUrl ?? "./ultraface-threads.wasm", import.meta.url).href,
    };
    const detector = new Detector();
    if (worker) await detector.#start(files, threads);
    else detector.#threads = (detector.#engine = await open(files, threads)).threads;
    return detector;
  }

  /** How many threads look at a picture together. */
  get threads() {
    return this.#threads;
  }

  /** Find the faces of a picture, best first; see detector.d.ts. */
  async detect(source, options = {}) {
    return (await this.detectTimed(source, options)).faces;
  }

  /** The same with the milliseconds it took. */
  async detectTimed(source, options = {}) {
    if (this.#closed) throw new Error("the detector was closed");
    const chosen = checked({ ...DEFAULTS, ...options });
    const picture = pixelsOf(source);
    if (this.#engine) return detect(this.#engine, picture, chosen);
    // What was made here may be given away; the caller's own pixels stay theirs.
    const transfer = picture.data === source.data ? [] : [picture.data.buffer];
    return this.#ask({ picture, options: chosen }, transfer);
  }

  /** Stop the workers; what waits is refused. */
  close() {
    this.#closed = true;
    this.#worker?.terminate();
    this.#engine?.end();
    this.#fail("the detector was closed");
    this.#engine = undefined;
  }

  async #start(files, threads) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data: { id, result, problem } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (problem === undefined) resolve(result);
      else reject(new Error(problem));
    };
    this.#worker.onerror = (event) => this.#fail(event.message ?? "worker.js cannot be loaded");
    this.#threads = (await this.#ask({ files, threads })).threads;
  }

  #ask(message, transfer = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message }, transfer);
    });
  }

  #fail(problem) {
    for (const { reject } of this.#waiting.values()) reject(new Error(problem));
    this.#waiting.clear();
  }
}

function checked(options) {
  for (const name of ["threshold", "overlap"]) {
    if (!(options[name] >= 0 && options[name] <= 1)) {
      throw new RangeError(`${name} ${options[name]}: give a number from 0 to 1`);
    }
  }
  if (!(Number.isInteger(options.limit) && options.limit >= 1)) {
    throw new RangeError(`limit ${options.limit}: give a whole number from 1`);
  }
  if (typeof options.keepAspect !== "boolean") {
    throw new TypeError(`keepAspect ${options.keepAspect}: give true or false`);
  }
  const { threshold, overlap, candidates, limit, keepAspect, region } = options;
  if (!(Number.isInteger(candidates) && candidates >= 1 && candidates <= MOST_CANDIDATES)) {
    throw new RangeError(`candidates ${candidates}: give 1 to ${MOST_CANDIDATES}`);
  }
  if (region !== undefined && !isRegion(region)) {
    throw new RangeError(`region ${region}: give whole numbers [x, y, width, height]`);
  }
  return { threshold, overlap, candidates, limit, keepAspect, region };
}

function isRegion(given) {
  const whole = Array.isArray(given) && given.length === 4 && given.every(Number.isInteger);
  return whole && Math.min(given[0], given[1]) >= 0 && Math.min(given[2], given[3]) >= 1;
}

/** Bytes of red, green, blue and alpha of whatever a page can draw. */
function pixelsOf(source) {
  if (source?.data !== undefined) {
    return { data: source.data, width: source.width, height: source.height };
  }
  const width = source?.videoWidth ?? source?.naturalWidth ?? source?.displayWidth ?? source?.width;
  const height =
    source?.videoHeight ?? source?.naturalHeight ?? source?.displayHeight ?? source?.height;
  if (!(width > 0 && height > 0)) {
    throw new TypeError("give ImageData, a canvas, a video that plays, or a loaded image");
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}
