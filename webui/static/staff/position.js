// The position form: rows of questions and competencies, and the total of the weights as one types.

function renumber(list) {
  list.querySelectorAll("[data-row]").forEach((row, index) => {
    const number = row.querySelector("[data-number]");
    if (number) number.textContent = index + 1;
    row.querySelectorAll("[data-id]").forEach((element) => {
      const id = `${element.dataset.id}-${index}`;
      if (element.tagName === "LABEL") element.htmlFor = id;
      else element.id = id;
    });
  });
}

for (const list of document.querySelectorAll("[data-rows]")) {
  const template = document.getElementById(list.dataset.rows);
  renumber(list);
  list.parentElement.querySelector("[data-add]").addEventListener("click", () => {
    list.append(template.content.cloneNode(true));
    renumber(list);
    list.lastElementChild.querySelector("input, textarea").focus();
    total();
  });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    const move = event.target.closest("[data-move]");
    if (move && row) {
      const other = move.dataset.move === "up" ? row.previousElementSibling : row.nextElementSibling;
      if (other) move.dataset.move === "up" ? other.before(row) : other.after(row);
      move.focus();
    }
    if (event.target.closest("[data-remove]") && row && list.querySelectorAll("[data-row]").length > 1) {
      row.remove();
      list.parentElement.querySelector("[data-add]").focus();
    }
    renumber(list);
    total();
  });
}

const output = document.querySelector("output[name=total]");
/** No competencies at all are allowed: interviews are then judged as a whole. */
function namesNothing() {
  return [...document.querySelectorAll("input[name=competency_name]")].every((input) => !input.value.trim());
}
function total() {
  if (!output) return;
  const sum = [...document.querySelectorAll("input[name=weight]")].reduce((all, input) => all + (Number(input.value) || 0), 0);
  output.textContent = output.dataset.words.replace("{n}", sum);
  const fine = sum === 100 || (sum === 0 && namesNothing());
  output.classList.toggle("over", !fine);
  const off = document.querySelector("[data-total-off]");
  off.hidden = fine;
  if (!fine) return;
  for (const input of document.querySelectorAll(`input[aria-describedby="${off.id}"]`)) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
document.addEventListener("input", (event) => {
  if (["weight", "competency_name"].includes(event.target.name)) total();
});
total();
