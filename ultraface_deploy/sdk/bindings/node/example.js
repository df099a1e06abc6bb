// Prints the faces of a binary PPM picture: node example.js photo.ppm
"use strict";

const fs = require("fs");
const { Detector, className } = require(".");

async function main(path) {
  const file = fs.readFileSync(path);
  const [kind, width, height] = file.toString("latin1", 0, 64).split(/\s+/);
  if (kind !== "P6") throw new Error(`${path}: is not a binary PPM picture`);
  const data = file.subarray(file.length - 3 * width * height);
  const detector = await Detector.load();
  const picture = { data, width: Number(width), height: Number(height), format: "rgb" };
  for (const face of await detector.detect(picture)) {
    const numbers = [...face.box.map((side) => side.toFixed(1)), face.score.toFixed(4)];
    console.log(...numbers, className(face.label) ?? "");
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
