// A click on the head of a column sorts its table, by numbers where both cells begin with one; a second click reverses.
const numberIn = (cell) => parseFloat(cell.textContent.replace("−", "-"));
const compare = (a, b) =>
  Number.isNaN(numberIn(a) - numberIn(b)) ? a.textContent.localeCompare(b.textContent) : numberIn(a) - numberIn(b);

for (const table of document.querySelectorAll("article table:not([class])")) {
  for (const head of table.querySelectorAll("th:not(:empty)")) {
    head.tabIndex = 0;
    head.onclick = () => {
      const direction = head.ariaSort === "ascending" ? -1 : 1;
      for (const other of table.querySelectorAll("th")) other.ariaSort = null;
      head.ariaSort = direction === 1 ? "ascending" : "descending";
      const column = head.cellIndex;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => direction * compare(a.cells[column], b.cells[column]));
      table.tBodies[0].append(...rows);
    };
    head.onkeydown = ({ key }) => key === "Enter" && head.click();
  }
}
