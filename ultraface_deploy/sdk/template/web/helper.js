// One of the threads that share a picture: the detector's code once more, over the memory of all.

function serve(port, { module, memory, helper }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  exports.__stack_pointer.value = exports.stack_of(helper);
  port.postMessage("ready");
  exports.help(); // until this worker is ended
}

if (typeof postMessage === "function") {
  onmessage = ({ data }) => serve(globalThis, data);
} else {
  const { parentPort } = await import("node:worker_threads");
  parentPort.once("message", (data) => serve(parentPort, data));
}
