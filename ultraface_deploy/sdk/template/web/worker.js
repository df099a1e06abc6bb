// Keeps the detector off the page's thread, so that sliders and video stay smooth.

import { detect, open } from "./engine.js";

let engine;

self.onmessage = async ({ data: { id, files, threads, picture, options } }) => {
  try {
    if (files) {
      engine = await open(files, threads);
      self.postMessage({ id, result: { threads: engine.threads } });
    } else {
      self.postMessage({ id, result: detect(engine, picture, options) });
    }
  } catch (error) {
    self.postMessage({ id, problem: error.message });
  }
};
