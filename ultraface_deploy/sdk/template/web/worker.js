// Keeps the detector off the page's thread, so that sliders and video stay smooth.

import { detect, open } from "./engine.js";

let engine;

self.onmessage = async ({ data: { id, bytes, picture, options } }) => {
  try {
    if (bytes) {
      engine = await open(bytes);
      self.postMessage({ id, result: { width: engine.inputWidth, height: engine.inputHeight } });
    } else {
      self.postMessage({ id, result: detect(engine, picture, options) });
    }
  } catch (error) {
    self.postMessage({ id, problem: error.message });
  }
};
