// Workers that share the memory of a detector, and with it the work on one picture.

import { memory as limits } from "./model.js";

// More gain little: the steps of the network are short.
const ENOUGH = 4;

/**
 * How many threads a detector takes where nobody says.
 * In Node.js one: a server has other work for its cores.
 */
export function usual() {
  return globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, ENOUGH) : 1;
}

/** Whether threads may share memory here, and this one may wait for others: a page's may not. */
export function allowed() {
  const shared = typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated !== false;
  return shared && typeof document === "undefined";
}

/**
 * Instantiate the module of ultraface-threads.wasm and start its helpers.
 * @returns { exports, memory, threads, end }
 */
export async function share(module, wanted) {
  const memory = new WebAssembly.Memory({ ...limits, shared: true });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const count = Math.min(wanted - 1, exports.helpers());
  const workers = [];
  const end = () => workers.forEach((worker) => worker.terminate());
  try {
    for (let helper = 0; helper < count; helper++) workers.push(await worker());
    await Promise.all(workers.map((worker, helper) => begin(worker, { module, memory, helper })));
  } catch (error) {
    end();
    throw error;
  }
  return { exports, memory, threads: count + 1, end };
}

async function worker() {
  const Kind = globalThis.Worker ?? (await import("node:worker_threads")).Worker;
  return new Kind(new URL("./helper.js", import.meta.url), { type: "module" });
}

/** Hand a helper its work and wait until it says that it is ready. */
async function begin(worker, work) {
  const inNode = typeof worker.addEventListener !== "function";
  const hear = (name, act) => (inNode ? worker.once(name, act) : worker.addEventListener(name, act));
  await new Promise((resolve, reject) => {
    hear("message", resolve);
    hear("error", reject);
    worker.postMessage(work);
  });
  // A program that has ended shall not wait for helpers.
  if (inNode) worker.unref();
}
