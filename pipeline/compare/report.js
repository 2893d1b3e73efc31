"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

// Sorting and filtering, of cards and table rows alike.
const order = { key: "", up: true };
const conditions = new Map();
const holders = [find("cards"), find("table").tBodies[0]];
const natural = new Intl.Collator("en", { numeric: true });

function compareRuns(a, b) {
  if (!order.key) return a - b;
  const [x, y] = [data.rows[a][order.key], data.rows[b][order.key]];
  // What a run lacks comes last, whichever way is up.
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a - b;
  const both = typeof x === "number" && typeof y === "number";
  const sign = both ? x - y : natural.compare(String(x), String(y));
  return (order.up ? sign : -sign) || a - b;
}

function holds(condition, value) {
  const [, operator, operand] = condition.match(/^\s*(<=|>=|!=|<|>|=)?\s*(.*?)\s*$/s);
  if (!operator) return String(value ?? "").toLowerCase().includes(operand.toLowerCase());
  if (operand === "") return true;
  if (value === undefined) return operator === "!=";
  const number = Number(operand);
  const numeric = typeof value === "number" && !Number.isNaN(number);
  const sign = numeric ? value - number : natural.compare(String(value), operand);
  return {
    "<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0, "=": sign === 0, "!=": sign !== 0,
  }[operator];
}

function passes(run) {
  return [...conditions].every(([key, condition]) =>
    key ? holds(condition, data.rows[run][key])
      : Object.values(data.rows[run]).some((value) => holds(condition, value)));
}

function arrange() {
  const shown = new Set(data.rows.map((_, run) => run).filter(passes));
  for (const holder of holders) {
    const items = [...holder.children].sort((a, b) => compareRuns(+a.dataset.run, +b.dataset.run));
    for (const item of items) item.hidden = !shown.has(+item.dataset.run);
    holder.append(...items);
  }
  for (const item of document.querySelectorAll(".plot [data-run]")) {
    item.style.display = shown.has(+item.dataset.run) ? "" : "none";
  }
  find("shown").textContent = shown.size === data.rows.length ? "" : `${shown.size} of ${data.rows.length} shown`;
  find("direction").textContent = order.up ? "↑" : "↓";
  find("sort").value = order.key;
  for (const head of document.querySelectorAll("thead th")) {
    if (head.dataset.column === order.key) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  find("conditions").replaceChildren(...[...conditions].map(([key, condition]) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const title = key ? data.columns.find((column) => column.key === key).title : "any";
    button.type = "button";
    button.textContent = `${title}: ${condition} ✕`;
    button.setAttribute("aria-label", `Drop the condition ${title}: ${condition}`);
    button.addEventListener("click", () => {
      conditions.delete(key);
      find("filter").value = conditions.get(find("filter-column").value) ?? "";
      arrange();
      find("filter").focus();
    });
    item.append(button);
    return item;
  }));
}

function sortBy(key) {
  const column = data.columns.find((candidate) => candidate.key === key);
  order.up = column?.better !== "higher";
  order.key = key;
  arrange();
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

const titles = data.columns.map(({ key, title }) => option(key, title));
find("sort").append(option("", "order of the runs"), ...titles);
find("filter-column").append(option("", "any column"), ...titles.map((title) => title.cloneNode(true)));
find("sort").addEventListener("change", () => sortBy(find("sort").value));
find("direction").addEventListener("click", () => {
  if (!order.key) order.key = "run";
  order.up = !order.up;
  arrange();
});
find("filter-column").addEventListener("change", () => {
  find("filter").value = conditions.get(find("filter-column").value) ?? "";
});
find("filter").addEventListener("input", () => {
  const [key, condition] = [find("filter-column").value, find("filter").value];
  if (condition.trim()) conditions.set(key, condition);
  else conditions.delete(key);
  arrange();
});
find("controls").addEventListener("submit", (event) => event.preventDefault());
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => {
    if (order.key !== head.dataset.column) return sortBy(head.dataset.column);
    order.up = !order.up;
    arrange();
  });
  head.append(button);
}
find("controls").hidden = false;

// Copying commands. Without a clipboard a click on the command selects it.
for (const button of document.querySelectorAll(".copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// The viewer at full size.
let looked = 0;
const viewer = find("viewer");
const stage = viewer.querySelector(".stage");

function look(number) {
  looked = (number + data.pictures.length) % data.pictures.length;
  const { label, source, width, height } = data.pictures[looked];
  Object.assign(find("viewer-picture"), { src: source, alt: label, width, height });
  find("viewer-title").textContent = `${label} (${width} × ${height})`;
  stage.classList.toggle("fit", width > innerWidth || height > innerHeight - 60);
}

for (const button of document.querySelectorAll("[data-picture]")) {
  button.addEventListener("click", () => {
    look(+button.dataset.picture);
    viewer.showModal();
  });
}
find("before").addEventListener("click", () => look(looked - 1));
find("after").addEventListener("click", () => look(looked + 1));
find("close").addEventListener("click", () => viewer.close());
stage.addEventListener("click", (event) => {
  if (event.target === stage) viewer.close();
  else stage.classList.toggle("fit");
});
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") look(looked - 1);
  if (event.key === "ArrowRight") look(looked + 1);
});

// The slider between two pictures.
const painted = data.results.filter((picture) => picture !== null);
const choices = data.pictures.map((picture, number) => [number, picture.label]);

function wipe() {
  const [left, right] = ["left", "right"].map((side) => data.pictures[find(side).value]);
  find("left-picture").src = left.source;
  find("left-picture").alt = left.label;
  find("right-picture").src = right.source;
  find("right-picture").alt = right.label;
  find("wipe").style.aspectRatio = `${left.width} / ${left.height}`;
  find("wipe").style.width = `min(100%, ${(85 * left.width) / left.height}vh, ${Math.max(left.width, 960)}px)`;
}

function moveWiper() {
  const share = find("wiper").value;
  find("wipe").style.setProperty("--at", `${share}%`);
  find("wiper").setAttribute("aria-valuetext", `${Math.round(share)}% left, ${Math.round(100 - share)}% right`);
}

if (data.pictures.length > 1 && painted.length) {
  for (const side of ["left", "right"]) {
    find(side).append(...choices.map(([number, label]) => option(number, label)));
    find(side).addEventListener("change", wipe);
  }
  find("left").value = painted.length > 1 ? painted[0] : 0;
  find("right").value = painted[painted.length > 1 ? 1 : 0];
  find("wiper").addEventListener("input", moveWiper);
  find("wipe-section").hidden = find("wipe-link").hidden = false;
  wipe();
  moveWiper();
}

// A run's curve stands out while its card, row or name is pointed at.
function highlight(run) {
  for (const path of document.querySelectorAll(".plot path")) {
    path.classList.toggle("bright", path.dataset.run === run);
    path.classList.toggle("dim", run !== undefined && path.dataset.run !== run);
  }
}
for (const item of document.querySelectorAll(".legend [data-run]")) {
  item.addEventListener("pointerenter", () => highlight(item.dataset.run));
  item.addEventListener("pointerleave", () => highlight(undefined));
}
