// The table of devices.

import * as format from "./format.js";

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
  { label: "Class map", number: true, show: (one) => format.count(one.class_map_version) },
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
    [one.left_out_total, "samples without a class"],
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
    this.table = table;
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
      const there = this.table.tBodies[place];
      if (there !== row.node) this.table.insertBefore(row.node, there ?? null);
    });
  }

  add(name) {
    const node = document.createElement("tbody");
    node.setAttribute("role", "rowgroup");
    node.dataset.device = name;
    const line = node.insertRow();
    line.setAttribute("role", "row");
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
      line.append(made);
      return text;
    });
    line.prepend(header);
    const problems = cell("td", "cell", "");
    problems.colSpan = COLUMNS.length + 1;
    const below = node.insertRow();
    below.setAttribute("role", "row");
    below.className = "problems";
    below.append(problems);
    const row = { node, suspect, texts, problems, below };
    this.rows.set(name, row);
    return row;
  }

  fill(row, device, now) {
    row.suspect.hidden = !device.is_suspect;
    row.below.hidden = device.problems.length === 0;
    setText(row.problems, device.problems.join(" · "));
    COLUMNS.forEach((column, place) => {
      setText(row.texts[place], column.show(device, now));
      if (column.kind) row.texts[place].dataset.kind = column.kind(device);
    });
  }
}
