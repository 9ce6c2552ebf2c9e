// The classes: how well both exits know each, and the curves of those that are marked.

import { Chart, DASH } from "./charts.js";
import * as format from "./format.js";

const MOST_MARKED = 4;
const MOST_ROWS = 40;
const LOST = 0.03; // a drop from its best that is worth a color: 3 points

const COLUMNS = [
  { label: "Slot", show: (one) => one.slot },
  { label: "Samples held out", show: (one) => format.count(one.held_out_samples) },
  { label: "Trained on", show: (one) => format.count(one.trained) },
  { label: "Early exit", show: (one) => format.percent(one.early_exit.accuracy) },
  { label: "Early exit, drop", show: (one) => drop(one.early_exit), lost: (one) => one.early_exit.forgetting > LOST },
  { label: "Final exit", show: (one) => format.percent(one.final_exit.accuracy) },
  { label: "Final exit, drop", show: (one) => drop(one.final_exit), lost: (one) => one.final_exit.forgetting > LOST },
  { label: "Devices", show: (one) => format.count(one.confirmed_devices) },
];

const keyOf = (one) => `${one.slot}.${one.since}`;
const drop = (exit) => format.points(exit.forgetting);

function made(kind, text, className = "") {
  const node = document.createElement(kind);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

export class Classes {
  /** get: asks the service for a path. */
  constructor(get) {
    this.get = get;
    this.marked = new Map(); // key: the number of its color
    this.isChosen = false; // by somebody; until then the page marks the newest
    this.found = null;
    this.chart = new Chart({
      id: "class-chart", x: "cloud_step", series: [], share: true, empty: "nothing measured yet: mark a class",
    });
    this.drawn = "";
    this.table = document.getElementById("classes");
    const row = this.table.createTHead().insertRow();
    row.setAttribute("role", "row");
    for (const label of ["Class", ...COLUMNS.map((one) => one.label)]) {
      const header = made("th", label, label === "Class" ? "" : "number");
      header.scope = "col";
      header.setAttribute("role", "columnheader");
      row.append(header);
    }
    this.body = this.table.createTBody();
    this.body.setAttribute("role", "rowgroup");
  }

  /** Show what /api/classes answers, and fetch the curves of the marked classes. */
  async show(found) {
    this.found = found;
    const shown = mostTelling(found.classes);
    const there = new Set(shown.map(keyOf));
    for (const key of this.marked.keys()) if (!there.has(key)) this.marked.delete(key);
    if (!this.isChosen) this.markNewest(shown);
    this.tell(found, shown.length);
    this.fill(shown);
    showGone(found.gone);
    await this.drawCurves();
  }

  markNewest(shown) {
    const newest = Math.max(...shown.map((one) => one.since));
    const keys = shown.filter((one) => one.since === newest).slice(0, newest > 1 ? 2 : 1).map(keyOf);
    this.marked = new Map(keys.map((key, number) => [key, number + 1]));
  }

  tell(found, shown) {
    const parts = [`${found.classes.length} in ${format.count(found.class_slots)} slots`];
    parts.push(`class map ${found.class_map_version}`);
    if (found.unconfirmed_devices > 0) {
      parts.push(`not yet on ${format.count(found.unconfirmed_devices)} of ${format.count(found.devices)} devices`);
    }
    if (found.waiting_slots > 0) parts.push(`${format.count(found.waiting_slots)} slots wait for them`);
    if (found.early_exit_forgetting !== null) {
      parts.push(
        `old classes' mean drop from best: early exit ${format.points(found.early_exit_forgetting)}, ` +
          `final exit ${format.points(found.final_exit_forgetting)}`,
      );
    }
    document.getElementById("classes-note").textContent = parts.join(" · ");
    const hidden = document.getElementById("classes-hidden");
    hidden.hidden = shown === found.classes.length;
    hidden.textContent =
      `${format.count(found.classes.length - shown)} not shown: the newest are, and those that lost most`;
  }

  fill(classes) {
    const focused = document.activeElement?.dataset?.class;
    this.body.replaceChildren(...classes.map((one) => this.row(one)));
    if (focused) this.body.querySelector(`[data-class="${focused}"]`)?.focus();
  }

  row(one) {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    row.append(this.header(one));
    for (const column of COLUMNS) {
      const cell = made("td", column.show(one), "number");
      cell.setAttribute("role", "cell");
      cell.dataset.label = column.label;
      cell.classList.toggle("lost", column.lost?.(one) ?? false);
      row.append(cell);
    }
    return row;
  }

  header(one) {
    const header = document.createElement("th");
    header.scope = "row";
    header.setAttribute("role", "rowheader");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.dataset.class = keyOf(one);
    box.checked = this.marked.has(keyOf(one));
    box.disabled = !box.checked && this.marked.size >= MOST_MARKED;
    if (box.checked) box.style.setProperty("--mark", `var(--class-${this.marked.get(keyOf(one))})`);
    box.addEventListener("change", () => this.mark(keyOf(one), box.checked));
    label.append(box, made("span", one.name));
    if (one.since > 1) label.append(made("span", "new", "new"));
    header.append(label);
    if (one.came !== null) {
      const came = `came ${format.moment(one.came)}, at cloud step ${format.count(one.came_at_step)}`;
      header.append(made("span", came, "quiet"));
    }
    if (one.aliases.length > 0) header.append(made("span", `also ${one.aliases.join(", ")}`, "quiet"));
    return header;
  }

  mark(key, isMarked) {
    this.isChosen = true;
    const taken = new Set(this.marked.values());
    if (isMarked) this.marked.set(key, [1, 2, 3, 4].find((number) => !taken.has(number)));
    else this.marked.delete(key);
    this.fill(mostTelling(this.found.classes));
    this.drawCurves().catch(() => {}); // the next frame asks again
  }

  async drawCurves() {
    const chosen = this.found.classes.filter((one) => this.marked.has(keyOf(one)));
    const curves = await Promise.all(
      chosen.map((one) => this.get(`api/classes/${one.slot}/history?since=${one.since}`)),
    );
    const wanted = chosen.map((one) => `${keyOf(one)} ${this.marked.get(keyOf(one))} ${one.name}`).join("\n");
    if (wanted !== this.drawn) {
      this.drawn = wanted;
      this.chart.setSeries(chosen.flatMap((one) => seriesOf(one.name, this.marked.get(keyOf(one)))));
    }
    this.chart.draw(joined(curves));
  }
}

function seriesOf(name, number) {
  const color = `--class-${number}`;
  return [
    { label: `${name}, early`, color, dash: DASH, show: format.percent },
    { label: `${name}, final`, color, show: format.percent },
  ];
}

function joined(curves) {
  const tables = curves.map((one) => [one.cloud_step, one.early_exit_accuracy, one.final_exit_accuracy]);
  return tables.length === 0 ? [[]] : uPlot.join(tables);
}

function mostTelling(classes) {
  if (classes.length <= MOST_ROWS) return classes;
  const lost = (one) => Math.max(one.early_exit.forgetting ?? 0, one.final_exit.forgetting ?? 0);
  const ranked = [...classes].sort((one, other) => other.since - one.since || lost(other) - lost(one));
  return ranked.slice(0, MOST_ROWS).sort((one, other) => one.slot - other.slot);
}

function showGone(gone) {
  document.getElementById("gone").hidden = gone.length === 0;
  document.getElementById("gone-classes").replaceChildren(
    ...gone.map((one) => {
      const what = one.merged_into === null ? "retired" : `merged into ${one.merged_into}`;
      const exits =
        one.final_exit.accuracy === null
          ? ""
          : `; last early exit ${format.percent(one.early_exit.accuracy)}, ` +
            `final exit ${format.percent(one.final_exit.accuracy)}`;
      return made("li", `${one.name}, slot ${one.slot}: ${what} ${format.moment(one.gone)}${exits}`);
    }),
  );
}
