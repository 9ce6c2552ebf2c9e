// The page: every second's frame goes to its places, and what is larger is fetched when it changes.

import { Charts } from "./charts.js";
import { Classes } from "./classes.js";
import { Confusion } from "./confusion.js";
import * as format from "./format.js";
import * as service from "./service.js";
import { Devices } from "./tables.js";

const CLASSES_EVERY_MS = 3_000;

const STATUS = {
  final_exit_held_out_accuracy: format.percent,
  final_exit_accuracy: format.percent,
  early_exit_held_out_accuracy: format.percent,
  cloud_step: format.count,
  step_ms: format.milliseconds,
  waiting: format.count,
  acknowledged_total: format.count,
  acks_total: format.count,
  ack_wait_ms: format.milliseconds,
  stored_total: format.count,
  consumed_total: format.count,
  trained_total: format.count,
  replayed_total: format.count,
  duplicates_total: format.count,
  refused_total: format.count,
  skipped_total: format.count,
  stale_total: format.count,
  left_out_total: format.count,
  dropped_total: format.count,
};

const element = (id) => document.getElementById(id);

const charts = new Charts();
const devices = new Devices();
const classes = new Classes((path) => service.get(path));
const confusion = new Confusion();
let isFetchingCurves = false;
let classesVersion = null;
let classesDue = 0;
let newestTime = null;
let isPaused = false;

function setData(id, value, show) {
  const place = element(id);
  const text = show(value);
  if (place.textContent !== text) place.textContent = text;
  place.value = value ?? "";
}

function setNotices(notices) {
  const shown = [...element("notices").children].map((one) => one.textContent).join("\n");
  if (shown === notices.map((one) => one.text).join("\n")) return;
  element("notices").replaceChildren(
    ...notices.map(({ kind, text }) => {
      const notice = document.createElement("p");
      notice.dataset.kind = kind;
      notice.textContent = text;
      return notice;
    }),
  );
}

function setState(kind, text) {
  const place = element("state");
  place.dataset.kind = kind;
  if (place.textContent !== text) place.textContent = text;
}

function stateOf(status, rates) {
  if (!status.is_connected) return ["bad", "No broker"];
  if (!status.is_ready) return ["note", "Starting"];
  if (status.is_paused) return ["note", "Paused"];
  if (status.waiting > 0 || rates.trained_batches > 0) return ["good", "Training"];
  return ["waiting", "Waiting for batches"];
}

function noticesOf(status) {
  const notices = status.problems.map((text) => ({ kind: "bad", text }));
  if (!status.is_connected && notices.length === 0) {
    notices.push({ kind: "bad", text: "Not connected to the broker: devices keep their batches." });
  }
  if (status.is_paused) {
    notices.push({ kind: "note", text: "Training is paused; batches are stored and acknowledged." });
  }
  return notices;
}

function showDeployment(deployment) {
  element("pair-command").textContent =
    `sudo hiertk-cloud pair phone-1 --deployment ${deployment.deployment}`;
  const isNamed = !deployment.bundle_id.startsWith(deployment.deployment);
  document.title = `${deployment.deployment} · HierTK`;
  element("deployment").textContent = deployment.deployment;
  element("bundle").textContent = [
    `${deployment.model}, separation point ${deployment.split} of ${deployment.split_count}`,
    `${deployment.bits} bits`,
    ...(isNamed ? [`bundle ${deployment.bundle_id.slice(0, 12)}`] : []),
  ].join(" · ");
}

function showFrame(frame) {
  const { status, rates, checkpoint } = frame;
  newestTime = status.time;
  for (const [name, show] of Object.entries(STATUS)) setData(name, status[name], show);
  setData("early_exit_accuracy", frame.early_exit_accuracy, format.percent);
  setData("stored_bytes_rate", rates.stored_bytes, format.megabytes);
  setData("stored_batches_rate", rates.stored_batches, format.rate);
  setData("trained_batches_rate", rates.trained_batches, format.rate);
  setData("checkpoint_step", checkpoint?.cloud_step, format.count);
  element("checkpoint_age").textContent = format.ago(checkpoint?.written, status.time);
  element("checkpoint_size").textContent = format.bytes(checkpoint?.size);
  devices.show(frame.devices, frame.device_count, status.time);
  charts.addRates(status.time, rates);
  setState(...stateOf(status, rates));
  setNotices(noticesOf(status));
  isPaused = status.is_paused;
  element("pause").textContent = isPaused ? "Resume training" : "Pause training";
  element("pause").hidden = false;
  if (frame.history_row < charts.row) charts.forget(); // the service has begun a new file
  if (frame.history_row !== charts.row) fetchCurves();
  if (frame.classes_version !== classesVersion) fetchClasses(frame.classes_version);
}

async function fetchCurves() {
  if (isFetchingCurves) return;
  isFetchingCurves = true;
  const after = charts.row;
  try {
    charts.addCurves(after, await service.get(`api/history?after=${after}`));
  } catch {
    charts.forget(); // the stream says what is wrong; the next frame asks for all of them
  } finally {
    isFetchingCurves = false;
  }
}

async function fetchClasses(version) {
  if (performance.now() < classesDue) return;
  classesDue = performance.now() + CLASSES_EVERY_MS;
  try {
    const [found, matrices] = await Promise.all([service.get("api/classes"), service.get("api/confusion")]);
    confusion.show(matrices);
    await classes.show(found);
    classesVersion = version;
  } catch {
    classesVersion = null; // the next frame asks again
  }
}

async function open() {
  showDeployment(await service.get("api/deployment"));
  charts.forget();
  charts.addCurves(0, await service.get("api/history"));
  classesVersion = null;
  classesDue = 0;
  element("token-form").hidden = true;
  element("content").hidden = false;
}

function showLost(reason) {
  setState("bad", "Disconnected");
  element("pause").hidden = true;
  const since = newestTime === null ? "" : ` What is shown is of ${format.clock(newestTime)}.`;
  setNotices([{ kind: "bad", text: `The service is gone: ${reason}. Trying again.${since}` }]);
}

function askForToken() {
  setState("note", "Locked");
  setNotices([]);
  element("pause").hidden = true;
  element("content").hidden = true;
  element("token-form").hidden = false;
  if (service.hasToken()) {
    service.forgetToken();
    element("token-note").textContent = "That is not the token. Please try again.";
    element("token-note").setAttribute("role", "alert");
  }
  element("token").value = "";
  element("token").focus();
}

function start() {
  service
    .watch({ onOpen: open, onFrame: showFrame, onLost: showLost })
    .catch((error) => {
      if (!(error instanceof service.Refused)) throw error;
      askForToken();
    });
}

element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  service.keepToken(element("token").value.trim());
  start();
});

element("pause").addEventListener("click", async () => {
  const button = element("pause");
  button.disabled = true;
  try {
    await service.post(isPaused ? "api/resume" : "api/pause");
  } catch (error) {
    setNotices([{ kind: "bad", text: `That did not work: ${error.message}` }]);
  } finally {
    button.disabled = false;
  }
});

start();
