// Sorts and filters the table of goals; without it the table is whole and in the goals' own order.
document.documentElement.classList.add("js");
const table = document.getElementById("goals-table");
const body = table.tBodies[0];
const rows = [...body.rows];
const [text, family, lost, count] = ["filter", "family", "lost", "count"].map((id) => document.getElementById(id));

function filter() {
  const wanted = text.value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const fits = row.dataset.goal.toLowerCase().includes(wanted)
      && (!family.value || row.dataset.family === family.value)
      && (!lost.checked || row.dataset.lost === "1");
    row.hidden = !fits;
    shown += fits;
  }
  count.textContent = `${shown} of ${rows.length} goals`;
}

function sort(header, column) {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.sort;
  const numbers = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");  // what is not known comes last, either way
    const order = numbers ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
    return ascending ? order : -order;
  };
  body.append(...rows.sort(compare));
}

[...table.tHead.rows[0].cells].forEach((header, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => sort(header, column));
});
for (const control of [text, family, lost]) control.addEventListener("input", filter);
filter();
