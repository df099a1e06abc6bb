"use strict";

// As node-gyp puts it, or as test.sh does.
let native;
try {
  native = require("./build/Release/ultraface.node");
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  native = require("./build/ultraface.node");
}

const FORMATS = ["bgr", "rgb", "gray", "nv21", "rgba", "bgra", "nv12", "i420"];
const NMS = ["hard", "soft", "blend"];
const INVALID_ARGUMENT = 1;
const FIELDS = 6;

class UltraFaceError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "UltraFaceError";
    this.status = status;
  }
}

function refuse(message) {
  throw new UltraFaceError(INVALID_ARGUMENT, message);
}

function ours(error) {
  return error.status === undefined ? error : new UltraFaceError(error.status, error.message);
}

function indexOf(names, value, what) {
  const index = names.indexOf(value);
  return index < 0 ? refuse(`${what} ${value}: unknown; choose from ${names.join(", ")}`) : index;
}

function pixelsOf(data) {
  if (!ArrayBuffer.isView(data)) refuse("data is no Buffer and no typed array");
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function numbersOf(picture) {
  const region = picture.region || [0, 0, 0, 0];
  const numbers = [
    picture.width,
    picture.height,
    indexOf(FORMATS, picture.format === undefined ? "rgba" : picture.format, "format"),
    picture.stride || 0,
    picture.rotation || 0,
    picture.mirrored ? 1 : 0,
    ...region,
  ];
  if (numbers.length !== 10 || !numbers.every((n) => Number.isInteger(n) && n === (n | 0))) {
    refuse("width, height, stride, rotation and region are whole numbers");
  }
  return Int32Array.from(numbers);
}

function facesOf(found) {
  const faces = [];
  for (let i = 0; i < found.length; i += FIELDS) {
    faces.push({
      box: [found[i], found[i + 1], found[i + 2], found[i + 3]],
      score: found[i + 4],
      label: found[i + 5],
    });
  }
  return faces;
}

/** What the class of a label is called; null where the network does not say. */
function className(label) {
  return Number.isInteger(label) ? native.className(label) : null;
}

class Detector {
  #handle;

  constructor(options = {}) {
    const nms = options.nms === undefined ? NaN : indexOf(NMS, options.nms, "nms");
    const { threshold, overlap, candidates, limit, threads } = options;
    const numbers = [threshold, overlap, nms, candidates, limit, threads].map((value) =>
      value === undefined ? NaN : typeof value === "number" ? value : refuse(`option ${value}`),
    );
    try {
      const folder = options.modelFolder === undefined ? null : String(options.modelFolder);
      this.#handle = native.open(folder, [...numbers, options.keepAspect ? 1 : 0]);
    } catch (error) {
      throw ours(error);
    }
  }

  static async load(options) {
    return new Detector(options);
  }

  async detect(picture) {
    const job = this.#asked(picture);
    try {
      return facesOf(await native.detectLater(...job));
    } catch (error) {
      throw ours(error);
    }
  }

  detectSync(picture) {
    const job = this.#asked(picture);
    try {
      return facesOf(native.detectNow(...job));
    } catch (error) {
      throw ours(error);
    }
  }

  close() {
    // Calls under way hold it; the last to let go frees the model.
    this.#handle = null;
  }

  #asked(picture) {
    if (!this.#handle) refuse("the detector is closed");
    if (!picture) refuse("picture is null");
    return [this.#handle, pixelsOf(picture.data), numbersOf(picture)];
  }
}

module.exports = { Detector, UltraFaceError, className };
