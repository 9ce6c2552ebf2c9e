// The confusion matrix of either exit.

import * as format from "./format.js";

const MOST_CLASSES = 24;
const MOST_PAIRS = 20;

const EXITS = {
  final: { name: "final exit", matrix: "matrix", accuracy: "accuracy" },
  early: { name: "early exit", matrix: "early_exit_matrix", accuracy: "early_exit_accuracy" },
};

/** The matrix of one exit; which one is chosen above it. */
export class Confusion {
  constructor() {
    this.table = document.getElementById("confusion");
    this.note = document.getElementById("confusion-note");
    this.found = null;
    document.getElementById("confusion-exit").addEventListener("change", () => this.draw());
  }

  /** Show what /api/confusion answers; of many classes, the pairs confused most. */
  show(found) {
    this.found = found;
    this.draw();
  }

  draw() {
    const exit = EXITS[document.querySelector("#confusion-exit input:checked").value];
    this.table.replaceChildren();
    if (!this.found?.matrix) {
      this.note.textContent = "no held-out batch has come yet";
      return;
    }
    const { classes, slots, samples } = this.found;
    const drawn = classes.length <= MOST_CLASSES;
    this.note.textContent =
      `${exit.name}, newest held-out evaluation: ${format.count(samples)} samples, ` +
      `${format.percent(this.found[exit.accuracy])} right; ` +
      (drawn ? "row: label, column: prediction, in percent of the row" : "the pairs confused most");
    this.table.classList.toggle("pairs", !drawn);
    this.table.dataset.exit = exit.name;
    if (drawn) drawMatrix(this.table, classes, slots, this.found[exit.matrix]);
    else drawPairs(this.table, classes, this.found[exit.matrix]);
  }
}

function drawMatrix(table, classes, slots, matrix) {
  const head = table.createTHead().insertRow();
  head.append(document.createElement("td"));
  classes.forEach((name, place) => {
    const header = document.createElement("th");
    header.scope = "col";
    header.textContent = slots[place];
    header.title = name;
    header.setAttribute("aria-label", name);
    head.append(header);
  });
  const body = table.createTBody();
  classes.forEach((name, place) => {
    const row = body.insertRow();
    const header = document.createElement("th");
    header.scope = "row";
    header.textContent = `${slots[place]} ${name}`;
    header.title = name;
    row.append(header);
    const sum = matrix[place].reduce((total, value) => total + value, 0);
    classes.forEach((other, predicted) => {
      row.append(matrixCell(matrix[place][predicted], sum, `${name} as ${other}`, place === predicted));
    });
  });
}

function matrixCell(samples, sum, what, isRight) {
  const made = document.createElement("td");
  const text = document.createElement("span");
  const share = sum > 0 ? samples / sum : 0;
  text.textContent = samples > 0 ? Math.round(100 * share) || "<1" : "";
  text.style.setProperty("--share", `${Math.round(100 * share)}%`);
  text.classList.toggle("right", isRight);
  text.title = `${what}: ${format.count(samples)} of ${format.count(sum)}`;
  made.dataset.samples = samples;
  made.append(text);
  return made;
}

function drawPairs(table, classes, matrix) {
  const pairs = classes.flatMap((label, row) =>
    classes.map((predicted, column) => [label, predicted, row === column ? 0 : matrix[row][column]]),
  );
  pairs.sort((one, other) => other[2] - one[2]);
  const head = table.createTHead().insertRow();
  for (const name of ["Label", "Predicted as", "Samples"]) {
    const header = document.createElement("th");
    header.scope = "col";
    header.textContent = name;
    head.append(header);
  }
  const body = table.createTBody();
  for (const pair of pairs.slice(0, MOST_PAIRS).filter(([, , samples]) => samples > 0)) {
    const row = body.insertRow();
    for (const value of pair) row.insertCell().textContent = value;
  }
}
