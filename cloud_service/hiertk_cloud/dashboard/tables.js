// The table of devices, and the confusion matrix.

import * as format from "./format.js";

const MOST_CLASSES = 24;
const MOST_PAIRS = 20;

const STATE_KINDS = {
  training: "good", draining: "good", waiting: "good", finished: "waiting", paused: "bad", offline: "bad",
};

const COLUMNS = [
  { label: "State", show: (one) => one.state, kind: (one) => STATE_KINDS[one.state] ?? "waiting" },
  { label: "Edge step", number: true, show: (one) => format.count(one.edge_step) },
  { label: "Lag, batches", number: true, show: (one) => format.count(one.waiting) },
  { label: "Spool", number: true, show: spool },
  { label: "Stored", number: true, show: (one) => format.bytes(one.stored_bytes) },
  { label: "Early exit loss", number: true, show: (one) => format.loss(one.early_exit_loss) },
  {
    label: "Early exit, held out",
    number: true,
    show: (one) => format.percent(one.early_exit_held_out_accuracy),
  },
  {
    label: "Final exit, held out",
    number: true,
    show: (one) => format.percent(one.final_exit_held_out_accuracy),
  },
  { label: "Left out", wide: true, show: leftOut },
  { label: "Seen", number: true, show: (one, now) => format.ago(one.last_seen, now) },
];

function spool(one) {
  const size = one.spool_batches > 0 ? ` (${format.bytes(one.spool_bytes)})` : "";
  return format.count(one.spool_batches) + size;
}

function leftOut(one) {
  const parts = [
    [one.refused_total, "refused"],
    [one.stale_total, "stale"],
    [one.skipped_total, "skipped"],
    [one.dropped_total, "unanswered"],
    [one.spool_dropped_total, "dropped by its spool"],
  ];
  const present = parts.filter(([number]) => number > 0);
  return present.map(([number, name]) => `${format.count(number)} ${name}`).join(", ") || "none";
}

function cell(kind, role, text) {
  const made = document.createElement(kind);
  made.setAttribute("role", role);
  made.textContent = text;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class Devices {
  constructor() {
    this.note = document.getElementById("devices-note");
    this.rows = new Map();
    const table = document.getElementById("devices");
    const head = table.createTHead();
    head.setAttribute("role", "rowgroup");
    const row = head.insertRow();
    row.setAttribute("role", "row");
    for (const column of [{ label: "Device" }, ...COLUMNS]) {
      const header = cell("th", "columnheader", column.label);
      header.scope = "col";
      if (column.number) header.className = "number";
      row.append(header);
    }
    this.body = table.createTBody();
    this.body.setAttribute("role", "rowgroup");
  }

  /** Show the devices of a frame, in their order. */
  show(devices, total, now) {
    const suspects = devices.filter((one) => one.is_suspect).length;
    const hidden = total - devices.length;
    const parts = [format.count(total)];
    if (suspects > 0) parts.push(`${suspects} suspect: loss far above the others'`);
    if (hidden > 0) parts.push(`${format.count(hidden)} not shown: see /api/devices`);
    setText(this.note, total === 0 ? "none has sent anything yet" : parts.join(" · "));
    const names = new Set(devices.map((one) => one.name));
    for (const [name, row] of this.rows) {
      if (!names.has(name)) {
        row.node.remove();
        this.rows.delete(name);
      }
    }
    devices.forEach((device, place) => {
      const row = this.rows.get(device.name) ?? this.add(device.name);
      this.fill(row, device, now);
      const there = this.body.children[place];
      if (there !== row.node) this.body.insertBefore(row.node, there ?? null);
    });
  }

  add(name) {
    const node = document.createElement("tr");
    node.setAttribute("role", "row");
    node.dataset.device = name;
    const header = cell("th", "rowheader", name);
    header.scope = "row";
    const suspect = document.createElement("span");
    suspect.className = "suspect";
    suspect.textContent = "suspect";
    suspect.hidden = true;
    header.append(suspect);
    const texts = COLUMNS.map((column) => {
      const made = cell("td", "cell", "");
      made.dataset.label = column.label;
      if (column.number) made.className = "number";
      if (column.wide) made.className = "wide";
      const text = document.createElement("span");
      if (column.kind) text.className = "state";
      made.append(text);
      node.append(made);
      return text;
    });
    node.prepend(header);
    const row = { node, suspect, texts };
    this.rows.set(name, row);
    return row;
  }

  fill(row, device, now) {
    row.suspect.hidden = !device.is_suspect;
    COLUMNS.forEach((column, place) => {
      setText(row.texts[place], column.show(device, now));
      if (column.kind) row.texts[place].dataset.kind = column.kind(device);
    });
  }
}

/** Draw the confusion matrix of /api/confusion; of many classes, the pairs confused most. */
export function showConfusion({ classes, matrix, samples, accuracy }) {
  const table = document.getElementById("confusion");
  table.replaceChildren();
  const note = document.getElementById("confusion-note");
  if (matrix === null) {
    note.textContent = "no held-out batch has come yet";
    return;
  }
  const drawn = classes.length <= MOST_CLASSES;
  note.textContent =
    `final exit, newest held-out evaluation: ${format.count(samples)} samples, ` +
    `${format.percent(accuracy)} right; ` +
    (drawn ? "row: label, column: prediction, in percent of the row" : "the pairs confused most");
  table.classList.toggle("pairs", !drawn);
  if (drawn) drawMatrix(table, classes, matrix);
  else drawPairs(table, classes, matrix);
}

function drawMatrix(table, classes, matrix) {
  const head = table.createTHead().insertRow();
  head.append(document.createElement("td"));
  classes.forEach((name, slot) => {
    const header = document.createElement("th");
    header.scope = "col";
    header.textContent = slot;
    header.title = name;
    header.setAttribute("aria-label", name);
    head.append(header);
  });
  const body = table.createTBody();
  classes.forEach((name, slot) => {
    const row = body.insertRow();
    const header = document.createElement("th");
    header.scope = "row";
    header.textContent = `${slot} ${name}`;
    row.append(header);
    const sum = matrix[slot].reduce((total, value) => total + value, 0);
    classes.forEach((other, predicted) => {
      row.append(matrixCell(matrix[slot][predicted], sum, `${name} as ${other}`, slot === predicted));
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
