// Sorts and filters the table of goals, which is complete without this script.
document.documentElement.classList.add("js");
const table = document.getElementById("goals-table");
const body = table.tBodies[0];
const rows = [...body.rows];
const [text, family, never, count] = ["filter", "family", "never", "count"].map((id) => document.getElementById(id));

function filter() {
  const query = text.value.trim().toLowerCase();
  let visible = 0;
  for (const row of rows) {
    const matches = row.dataset.goal.toLowerCase().includes(query)
      && (!family.value || row.dataset.family === family.value)
      && (!never.checked || row.dataset.never === "1");
    row.hidden = !matches;
    visible += matches;
  }
  count.textContent = `${visible} of ${rows.length} goals`;
}

function sort(header, column) {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.sort;
  const numbers = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");  // missing values come last in both directions
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
for (const control of [text, family, never]) control.addEventListener("input", filter);
filter();
