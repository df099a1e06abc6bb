// Marks faces on a canvas, in the pixels of the picture they were found in.

const COLOUR = "#19e68c";

/** Draw the boxes of faces; `scale` is canvas pixels per pixel of the picture. */
export function drawBoxes(context, faces, scale) {
  const line = Math.max(2, context.canvas.width / 320);
  context.lineWidth = line;
  context.strokeStyle = COLOUR;
  for (const { box } of faces) {
    const [left, top, right, bottom] = box.map((value) => value * scale);
    context.strokeRect(left, top, right - left, bottom - top);
  }
}

/** Return "1 face" or "3 faces". */
export function counted(faces) {
  return `${faces.length} face${faces.length === 1 ? "" : "s"}`;
}
