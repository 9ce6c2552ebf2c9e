// The plots. The early exit's line is dashed, so that color is not the only sign.

import * as format from "./format.js";

const MOST_POINTS = 5_000;
const MOST_SECONDS = 600;
export const DASH = [7, 4];
const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300];

const EXITS = (measure, show) => [
  { column: `early_exit_${measure}`, label: "early exit", color: "--early", dash: DASH, show },
  { column: `final_exit_${measure}`, label: "final exit", color: "--final", show },
];

const CHARTS = [
  { id: "loss-chart", x: "cloud_step", series: EXITS("loss", format.loss), floor: 0 },
  { id: "accuracy-chart", x: "cloud_step", series: EXITS("accuracy", format.percent), share: true },
  {
    id: "held-out-chart",
    x: "cloud_step",
    series: EXITS("held_out_accuracy", format.percent),
    share: true,
  },
  {
    id: "throughput-chart",
    x: "time",
    series: [
      { column: "stored_batches", label: "stored", color: "--early", dash: DASH, show: format.rate },
      { column: "trained_batches", label: "trained", color: "--final", show: format.rate },
    ],
    floor: 0,
  },
];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  constructor(settings) {
    this.settings = settings;
    this.place = document.getElementById(settings.id);
    this.legend = this.place.parentElement.querySelector(".legend");
    this.setSeries(settings.series);
    new ResizeObserver(() => this.fit()).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
  }

  /** Draw other series from now on; their columns come with the next `draw`. */
  setSeries(series) {
    this.settings = { ...this.settings, series };
    this.legend.replaceChildren();
    this.values = series.map((one) => this.legendEntry(one));
    this.data = [[], ...series.map(() => [])];
    this.plot?.destroy();
    this.plot = undefined;
  }

  legendEntry({ label, color: name, dash }) {
    const item = document.createElement("li");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    line.setAttribute("width", "26");
    line.setAttribute("height", "6");
    line.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M0 3H26");
    path.setAttribute("stroke-width", "2.5");
    if (dash) path.setAttribute("stroke-dasharray", dash.join(" "));
    path.style.stroke = `var(${name})`;
    line.append(path);
    const value = document.createElement("b");
    value.textContent = format.UNKNOWN;
    item.append(line, label, value);
    this.legend.append(item);
    return value;
  }

  /** Draw columns: the x values, then one column per series. */
  draw(data) {
    this.data = data;
    const isEmpty = data.slice(1).every((column) => column.every((value) => (value ?? null) === null));
    if (isEmpty) {
      this.place.dataset.empty = this.settings.empty ?? "nothing measured yet";
    } else {
      delete this.place.dataset.empty;
    }
    if (this.plot === undefined) this.build();
    else this.plot.setData(data);
    this.tell(null);
  }

  /** Make the plot anew, with the colors of the theme. */
  build() {
    this.plot?.destroy();
    const { x, series, share, floor } = this.settings;
    const axis = {
      stroke: color("--quiet"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: color("--grid"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const show = share ? (_plot, ticks) => ticks.map((tick) => `${+(100 * tick).toFixed(1)}%`) : undefined;
    this.plot = new uPlot(
      {
        ...this.size(),
        padding: [10, 26, 0, 0],
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: false, y: false },
          sync: x === "cloud_step" ? { key: "cloud_step" } : undefined,
        },
        scales: {
          x: { time: x === "time" },
          y: { range: (_plot, low, high) => rangeOf(low, high, { share, floor }) },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 26,
            space: 80,
            incrs: x === "cloud_step" ? WHOLE : SECONDS,
            values: (_plot, ticks) => ticks.map(x === "time" ? format.clock : format.count),
          },
          { ...axis, size: 46, space: 36, values: show },
        ],
        series: [
          {},
          ...series.map((one) => ({
            stroke: color(one.color),
            dash: one.dash,
            width: 2,
            spanGaps: true,
            points: { show: (_plot, _index, first, last) => last - first < 3 },
          })),
        ],
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)] },
      },
      this.data,
      this.place,
    );
  }

  /** Show the values under the cursor, else the newest ones. */
  tell(index) {
    const at = index ?? this.data[0].length - 1;
    const texts = this.settings.series.map((series, place) => {
      const text = series.show(index === null ? newest(this.data[place + 1]) : this.data[place + 1][at]);
      this.values[place].textContent = text;
      return `${series.label} ${text}`;
    });
    if (index === null) {
      const title = this.place.parentElement.querySelector("h2").textContent;
      this.place.setAttribute("aria-label", `${title}, newest: ${texts.join(", ")}`);
    }
  }

  size() {
    return { width: Math.max(120, this.place.clientWidth), height: this.place.clientHeight };
  }

  fit() {
    const size = this.size();
    if (this.plot && (size.width !== this.plot.width || size.height !== this.plot.height)) {
      this.plot.setSize(size);
    }
  }
}

function newest(column) {
  return column.findLast((value) => value !== null && value !== undefined);
}

function rangeOf(low, high, { share, floor }) {
  if (low === null || high === null) return [0, 1];
  const margin = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  const bottom = floor ?? low - margin;
  return share ? [Math.max(0, bottom), Math.min(1, high + margin)] : [bottom, high + margin];
}

export class Charts {
  constructor() {
    this.charts = CHARTS.map((settings) => new Chart(settings));
    this.rates = { time: [], stored_batches: [], trained_batches: [] };
    this.forget();
  }

  forget() {
    this.curves = null;
  }

  /** The newest row that is drawn. */
  get row() {
    return this.curves?.row.at(-1) ?? 0;
  }

  /** Add the points of /api/history after a row, unless that is no longer the newest one here. */
  addCurves(after, points) {
    if (after !== this.row) return;
    if (after === 0) this.curves = points;
    else for (const name of Object.keys(this.curves)) this.curves[name].push(...points[name]);
    this.drawAll("cloud_step", this.curves);
    if (this.curves.row.length > MOST_POINTS) this.forget(); // the service has thinned its own
  }

  /** Add one frame's rates. */
  addRates(time, rates) {
    const columns = { time, ...rates };
    for (const name of Object.keys(this.rates)) {
      this.rates[name].push(columns[name]);
      if (this.rates[name].length > MOST_SECONDS) this.rates[name].shift();
    }
    this.drawAll("time", this.rates);
  }

  drawAll(x, columns) {
    for (const chart of this.charts.filter((one) => one.settings.x === x)) {
      chart.draw([columns[x], ...chart.settings.series.map((series) => columns[series.column])]);
    }
  }
}
