// Tables: sort with buttons in the head, filter by words and by status, save what is shown as CSV.

const value = (row, column, kind) => {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  if (kind !== "number") return text.toLowerCase();
  return text === "" || text === "–" ? NaN : Number(text);
};

// Empty cells stay last in both directions: an absent score is neither the best nor the worst.
const compare = (a, b, kind) => {
  if (kind !== "number") return a.localeCompare(b, "en", { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return null;
  return a - b;
};

const sortBy = (table, head, column, kind) => {
  const up = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "descending" : "ascending");
  const body = table.querySelector("tbody.rows");
  const rows = [...body.rows].map((row) => [value(row, column, kind), row]);
  rows.sort(([a], [b]) => {
    const order = compare(a, b, kind);
    if (order === null) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return up ? -order : order;
  });
  body.append(...rows.map(([, row]) => row));
};

const sortable = (table) => {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head, column, head.dataset.sort));
  });
};

const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const filterable = (table, bar) => {
  const body = table.querySelector("tbody.rows");
  const input = element("input", { type: "search", placeholder: table.dataset.filter });
  input.setAttribute("aria-label", table.dataset.filter);
  const count = element("output", { className: "count" });
  const off = new Set();
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = off.has(row.dataset.choice) || !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${body.rows.length}`;
  };
  input.addEventListener("input", apply);
  bar.append(input);
  const choices = [...new Set([...body.rows].map((row) => row.dataset.choice).filter(Boolean))];
  for (const choice of choices) {
    const button = element("button", { type: "button", className: `status ${choice}` }, choice.replaceAll("_", " "));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!on));
      if (on) off.add(choice);
      else off.delete(choice);
      apply();
    });
    bar.append(button);
  }
  bar.append(count);
  apply();
};

const save = (blob, name) => {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

const csv = (table) => {
  const rows = [...table.rows].filter((row) => !row.hidden);
  const cell = (c) => (c.dataset.v ?? c.textContent).replace(/\s+/g, " ").trim();
  return rows.map((row) => [...row.cells].map((c) => quoted(cell(c))).join(",")).join("\n") + "\n";
};

for (const table of document.querySelectorAll("table[data-name]")) {
  if (table.tHead && table.querySelector("tbody.rows")) sortable(table);
  const bar = element("div", { className: "tools" });
  if (table.dataset.filter) filterable(table, bar);
  const button = element("button", { type: "button", className: "csv" }, "CSV");
  button.setAttribute("aria-label", `Save as CSV: ${table.dataset.name}`);
  button.addEventListener("click", () => {
    save(new Blob([csv(table)], { type: "text/csv" }), `${table.dataset.name.replace(/[^\w-]+/g, "_")}.csv`);
  });
  bar.append(button);
  (table.closest(".scroll") ?? table).before(bar);
}

// Whole tables lie in the page compressed. The plain link saves them as .csv.gz; where the browser can, it saves CSV.
for (const link of document.querySelectorAll("a[data-csv]")) {
  if (!("DecompressionStream" in window)) continue;
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const packed = Uint8Array.from(atob(link.href.split(",")[1]), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    save(await new Response(stream).blob(), link.dataset.csv);
  });
}
