// Reads the MJPEG stream part by part, so that each picture is known by its number.

const HEAD_END = [13, 10, 13, 10];

/** Call `show(number, blob)` with the newest picture again and again until `signal` aborts. */
export async function watch(show, signal) {
  const response = await fetch("/v1/video", { signal });
  if (!response.ok) {
    throw new Error((await response.json()).error);
  }
  const reader = response.body.getReader();
  let kept = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    kept = joined(kept, value);
    let newest = null;
    for (let part = takePart(kept); part; part = takePart(kept)) {
      newest = part;
      kept = kept.subarray(part.end);
    }
    // What came meanwhile was passed over; while this one is shown, the server waits.
    if (newest) {
      await show(newest.number, new Blob([newest.jpeg], { type: "image/jpeg" }));
    }
  }
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function takePart(bytes) {
  const head = endOfHead(bytes);
  if (head < 0) {
    return null;
  }
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, head));
  const length = Number(/^content-length: (\d+)/im.exec(text)[1]);
  const end = head + length + 2;
  if (bytes.length < end) {
    return null;
  }
  const number = Number(/^x-picture: (\d+)/im.exec(text)[1]);
  return { number, jpeg: bytes.slice(head, head + length), end };
}

function endOfHead(bytes) {
  for (let at = 0; at + 4 <= bytes.length; at++) {
    if (HEAD_END.every((byte, offset) => bytes[at + offset] === byte)) {
      return at + 4;
    }
  }
  return -1;
}
