// The detector itself: WebAssembly in, faces out. Used in a worker, or directly.

import { allowed, share, usual } from "./threads.js";

const BYTES = 4; // of a pixel, and of a number
const FIELDS = 6; // x1 y1 x2 y2 score label
const PROBLEMS = {
  "-1": "no picture, or a side outside 1 to 32767 pixels",
  "-2": "too little memory for the network",
  "-3": "a threshold outside 0 to 1",
  "-4": "this build has no kernels for WebAssembly",
};

/**
 * Load the detector.
 * @param files addresses: { one, several }, the detector of one thread and of several.
 * @param threads how many to use at most; undefined for what suits this place.
 * @returns what `detect` takes; `threads` is how many there are.
 */
export async function open({ one, several }, threads = usual()) {
  if (threads > 1 && allowed()) {
    try {
      return await share(await WebAssembly.compile(await read(several)), threads);
    } catch {
      // A server without the file, or without headers for it; a browser without room: one thread.
    }
  }
  let module;
  const bytes = await read(one);
  try {
    module = await WebAssembly.compile(bytes);
  } catch (error) {
    throw new Error(
      `this browser cannot run the detector; it needs WebAssembly with SIMD: Chrome or Edge 91, ` +
        `Firefox 89, Safari 16.4 or newer (${error.message})`,
    );
  }
  const { exports } = await WebAssembly.instantiate(module, {});
  return { exports, memory: exports.memory, threads: 1, end: () => {} };
}

async function read(url) {
  if (url.startsWith("file:")) {
    const { readFile } = await import("node:fs/promises");
    return readFile(new URL(url));
  }
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: the server says ${answer.status}`);
  return answer.arrayBuffer();
}

/**
 * Find the faces of a picture.
 * @param engine what `open` returned.
 * @param picture { data, width, height }, four bytes a pixel: red, green, blue, and one ignored.
 * @param options { threshold, overlap, candidates, limit, keepAspect, region }
 * @returns { faces, milliseconds }
 */
export function detect(engine, picture, options) {
  const { data, width, height } = picture;
  if (data.length !== width * height * BYTES) {
    throw new RangeError(`${width}x${height} pixels take ${width * height * BYTES} bytes, ` +
      `not ${data.length}`);
  }
  const { exports, memory, threads } = engine;
  const began = performance.now();
  const { threshold, overlap, candidates, limit, keepAspect, region } = options;
  const [left, top, wide, high] = region ?? [0, 0, width, height];
  if (left + wide > width || top + high > height) {
    throw new RangeError(`region ${region}: reaches out of the picture of ${width}x${height}`);
  }
  const room = exports.room(wide, high);
  if (room === 0) throw new RangeError(`no memory for a picture of ${wide}x${high} pixels`);
  // Growing the memory replaces its buffer, so that it is looked up anew each time.
  copy(picture, region, new Uint8Array(memory.buffer, room, wide * high * BYTES));
  const numbers = [threshold, overlap, limit, threads, keepAspect ? 1 : 0, candidates];
  const count = exports.detect(wide, high, ...numbers);
  if (count < 0) throw new RangeError(PROBLEMS[count] ?? `error ${count}`);
  const view = new DataView(memory.buffer, exports.found(), count * FIELDS * BYTES);
  const faces = Array.from({ length: count }, (_, index) => {
    const at = (field) => (index * FIELDS + field) * BYTES;
    const number = (field) => view.getFloat32(at(field), true);
    return {
      box: [left + number(0), top + number(1), left + number(2), top + number(3)],
      score: number(4),
      label: view.getInt32(at(5), true),
    };
  });
  return { faces, milliseconds: performance.now() - began };
}

function copy({ data, width }, region, target) {
  if (region === undefined) {
    target.set(data);
    return;
  }
  const [left, top, wide, high] = region;
  for (let row = 0; row < high; row++) {
    const from = ((top + row) * width + left) * BYTES;
    target.set(data.subarray(from, from + wide * BYTES), row * wide * BYTES);
  }
}
