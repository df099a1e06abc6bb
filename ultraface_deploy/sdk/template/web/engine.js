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
 * @param options { threshold, overlap, limit, keepAspect }
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
  const room = exports.room(width, height);
  if (room === 0) throw new RangeError(`no memory for a picture of ${width}x${height} pixels`);
  // Growing the memory replaces its buffer, so that it is looked up anew each time.
  new Uint8Array(memory.buffer, room, data.length).set(data);
  const { threshold, overlap, limit, keepAspect } = options;
  const numbers = [threshold, overlap, limit, threads, keepAspect ? 1 : 0];
  const count = exports.detect(width, height, ...numbers);
  if (count < 0) throw new RangeError(PROBLEMS[count] ?? `error ${count}`);
  const view = new DataView(memory.buffer, exports.found(), count * FIELDS * BYTES);
  const faces = Array.from({ length: count }, (_, index) => {
    const at = (field) => (index * FIELDS + field) * BYTES;
    const number = (field) => view.getFloat32(at(field), true);
    return {
      box: [number(0), number(1), number(2), number(3)],
      score: number(4),
      label: view.getInt32(at(5), true),
    };
  });
  return { faces, milliseconds: performance.now() - began };
}
