// The faces of the last hour: the most at once as an area, the mean as a line.

const SVG = "http://www.w3.org/2000/svg";
const SHORTEST_S = 300;
const [WIDTH, HEIGHT] = [360, 100];

/** Draw what /v1/history gave into an <svg>; return the most faces at once, and minutes shown. */
export function plot(svg, { seconds, counts }) {
  const most = Math.max(1, ...counts.map((each) => each.most));
  // As much as there is: the plot of the first minutes would be a line at the border.
  const span = Math.max(SHORTEST_S, counts[0]?.ago ?? 0);
  const x = (ago) => WIDTH * (1 - ago / span);
  const y = (value) => HEIGHT * (1 - (0.94 * value) / most);
  const nodes = [];
  for (const run of runs(counts, seconds)) {
    const steps = (value) =>
      run.map((each) => {
        const end = Math.max(0, each.ago - seconds);
        return `L${x(each.ago)} ${y(value(each))}L${x(end)} ${y(value(each))}`;
      });
    const [first, last] = [x(run[0].ago), x(Math.max(0, run.at(-1).ago - seconds))];
    const area = steps((each) => each.most).join("");
    nodes.push(path("most", `M${first} ${HEIGHT}${area}L${last} ${HEIGHT}Z`));
    nodes.push(path("mean", steps((each) => each.mean).join("").replace("L", "M")));
  }
  svg.replaceChildren(...nodes);
  const now = counts.at(-1)?.mean ?? 0;
  svg.setAttribute("aria-label", `Most at once: ${most}; now ${now.toFixed(1)} on average`);
  return { most, minutes: Math.round(span / 60) };
}

/** Yield stretches without a gap: where there was no picture, nothing is drawn. */
function* runs(counts, seconds) {
  let run = [];
  for (const each of counts) {
    if (run.length && run.at(-1).ago - each.ago > 1.5 * seconds) {
      yield run;
      run = [];
    }
    run.push(each);
  }
  if (run.length) {
    yield run;
  }
}

function path(name, d) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", name);
  made.setAttribute("d", d);
  return made;
}
