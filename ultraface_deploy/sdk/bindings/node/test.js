// The conformance set, threads, memory and errors; with a count: so many detections.
"use strict";

const assert = require("assert");
const fs = require("fs");
const path = require("path");
const { Worker, isMainThread, parentPort } = require("worker_threads");
const { Detector, UltraFaceError, className } = require(".");

const folder = path.join(__dirname, "../../conformance");
const expected = JSON.parse(fs.readFileSync(path.join(folder, "cases.json")));

function pictureOf(one) {
  const { width, height, format, stride, rotation, mirrored, region } = one;
  const data = fs.readFileSync(path.join(folder, one.file));
  return { data, width, height, format, stride, rotation, mirrored, region };
}

function check(one, faces) {
  assert.strictEqual(faces.length, one.faces.length, one.name);
  faces.forEach((face, i) => {
    const wanted = one.faces[i];
    face.box.forEach((side, at) => assert(Math.abs(side - wanted.box[at]) <= 1, one.name));
    assert(Math.abs(face.score - wanted.score) <= 1e-3, one.name);
    assert.strictEqual(face.label, wanted.label, one.name);
  });
}

async function sameFaces() {
  assert.strictEqual(expected.cases.length, 12);
  for (const one of expected.cases) {
    const detector = await Detector.load({ keepAspect: one.keep_aspect });
    check(one, await detector.detect(pictureOf(one)));
    check(one, detector.detectSync(pictureOf(one)));
    detector.close();
  }
}

function classNames() {
  const names = expected.class_names;
  names.forEach((name, i) => assert.strictEqual(className(i + 1), name));
  for (const label of [-1, 0, 0.5, names.length + 1, undefined]) {
    assert.strictEqual(className(label), null);
  }
}

async function keepsNoMemory(one) {
  const detector = new Detector();
  const picture = pictureOf(one);
  let before = 0;
  for (let count = 0; count < 1500; ++count) {
    if (count % 250 === 0) global.gc();
    if (count === 500) before = process.memoryUsage.rss();
    await (count % 2 ? detector.detect(picture) : detector.detectSync(picture));
  }
  global.gc();
  const grown = process.memoryUsage.rss() - before;
  assert(grown < 8 << 20, `grew by ${grown} bytes`);
}

function inWorker() {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename);
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

async function eightThreads(one) {
  const shared = new Detector();
  const picture = pictureOf(one);
  const jobs = Array.from({ length: 80 }, () => shared.detect(picture));
  // The handle is held by the jobs, however early it is closed.
  shared.close();
  for (const faces of await Promise.all(jobs)) check(one, faces);
  await Promise.all(Array.from({ length: 8 }, inWorker));
}

async function doesNotBlock(one) {
  const detector = new Detector();
  let turns = 0;
  const timer = setInterval(() => ++turns, 1);
  const picture = pictureOf(one);
  await Promise.all(Array.from({ length: 40 }, () => detector.detect(picture)));
  clearInterval(timer);
  assert(turns > 0, "the event loop stood still");
}

async function refusals() {
  const data = new Uint8Array(3 * 64 * 48);
  const bgr = { data, width: 64, height: 48, format: "bgr" };
  const detector = new Detector({ threads: 2, nms: "soft", limit: 3 });
  const refused = (error) => error instanceof UltraFaceError && error.status === 1;
  for (const wrong of [
    { data: null },
    { data: "pixels" },
    { data: new Uint8Array(0) },
    { width: 0 },
    { height: 0 },
    { width: 2.5 },
    { stride: 191 },
    { data: data.subarray(1) },
    { rotation: 45 },
    { format: "cmyk" },
    { region: [60, 0, 5, 48] },
    { region: [1] },
  ]) {
    await assert.rejects(detector.detect({ ...bgr, ...wrong }), refused, JSON.stringify(wrong));
    assert.throws(() => detector.detectSync({ ...bgr, ...wrong }), refused);
  }
  await assert.rejects(detector.detect(null), refused);
  assert.throws(() => new Detector({ threshold: 2 }), refused);
  assert.throws(() => new Detector({ threshold: "high" }), refused);
  detector.close();
  detector.close();
  await assert.rejects(detector.detect(bgr), refused);
}

async function main() {
  const one = expected.cases[5];
  const count = Number(process.argv[2] || 0);
  if (count) {
    const detector = new Detector();
    const picture = pictureOf(one);
    for (let i = 0; i < count; ++i) detector.detectSync(picture);
    return;
  }
  await sameFaces();
  classNames();
  await keepsNoMemory(one);
  await eightThreads(one);
  await doesNotBlock(one);
  await refusals();
  console.log("Node: passed");
}

if (isMainThread) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
} else {
  const one = expected.cases[5];
  const detector = new Detector();
  for (let round = 0; round < 10; ++round) check(one, detector.detectSync(pictureOf(one)));
  parentPort.postMessage("passed");
}
