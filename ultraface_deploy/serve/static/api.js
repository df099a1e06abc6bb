// The description of the interface as a page, and a picture to try it with.

import { counted, drawBoxes } from "./boxes.js";

const $ = (id) => document.getElementById(id);

function made(tag, text, ...children) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
}

/** Return a node with text in which `code` is code. */
function told(tag, text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? made("code", part) : part));
  return made(tag, "", ...parts);
}

// ---- Calls ----

function call(method, path, about) {
  const article = made("article", "");
  const title = made("h3", "", made("code", `${method.toUpperCase()} ${path}`));
  article.append(title, made("p", about.summary + "."));
  if (about.description) {
    article.append(told("p", about.description));
  }
  const rows = [
    ...(about.parameters ?? []).map((each) => [`?${each.name}`, each.description]),
    ...Object.entries(about.responses).map(([status, { description, content }]) => [
      status,
      status === "200" ? kindOf(content) + description : description,
    ]),
  ];
  const body = made("tbody", "");
  body.append(
    ...rows.map(([name, text]) => {
      const head = made("th", name);
      head.scope = "row";
      return made("tr", "", head, told("td", text));
    }),
  );
  article.append(made("table", "", body));
  return article;
}

function kindOf(content) {
  return content ? Object.keys(content).join(", ") + ": " : "";
}

async function describe() {
  $("example").textContent = `curl --data-binary @picture.jpg ${location.origin}/v1/detect`;
  const { paths } = await (await fetch("/v1/openapi.json")).json();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, about] of Object.entries(methods)) {
      $("calls").append(call(method, path, about));
    }
  }
  const { model, source } = await (await fetch("/v1/status")).json();
  const precision = model.precision ? ` ${model.precision}` : "";
  $("model").textContent = `${model.name}, ${model.input.join("×")}, ${model.backend}${precision}`;
  $("live").hidden = source === null;
}

// ---- Try it ----

async function detect(file) {
  $("said").textContent = "Looking…";
  $("canvas").hidden = $("answer").hidden = true;
  let answer;
  try {
    const response = await fetch("/v1/detect", { method: "POST", body: file });
    answer = await response.json();
    if (!response.ok) {
      throw new Error(answer.error);
    }
  } catch (problem) {
    $("said").textContent = problem.message;
    return;
  }
  $("said").textContent = `${counted(answer.faces)} found`;
  $("answer").textContent = JSON.stringify(answer, null, 2).replace(/\[[^[\]{}]*\]/g, (list) =>
    list.replace(/\s+/g, " "),
  );
  $("answer").hidden = false;
  try {
    await mark(file, answer);
  } catch {
    // The server reads more kinds of pictures than a browser shows.
  }
}

async function mark(file, { width, height, faces }) {
  const bitmap = await createImageBitmap(file);
  const canvas = $("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  drawBoxes(context, faces, 1);
  canvas.ariaLabel = `Picture with ${counted(faces)}`;
  canvas.hidden = false;
}

$("file").addEventListener("change", ({ target }) => target.files[0] && detect(target.files[0]));
describe();
