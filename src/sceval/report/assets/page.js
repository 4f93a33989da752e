// The page: deep links open what they point into, the navigation shows where one is, print shows everything.

// One task at a time: what belongs to another is hidden, what belongs to none stays.
const picker = document.getElementById("task-picker");
const pick = (task) => {
  picker.value = task;
  for (const part of document.querySelectorAll("[data-task]")) {
    part.classList.toggle("elsewhere", task !== "" && part.dataset.task !== task);
  }
};
if (picker) {
  picker.parentElement.hidden = false;
  picker.addEventListener("change", () => pick(picker.value));
  pick(picker.value);
}

const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest(".elsewhere")) pick("");
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  target.scrollIntoView();
};
window.addEventListener("hashchange", reveal);
reveal();

const links = new Map([...document.querySelectorAll("nav > ol > li > a")].map((link) => [link.hash.slice(1), link]));
const spy = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link.setAttribute("aria-current", "true");
      const list = link.closest("ol");
      if (list.scrollWidth > list.clientWidth) list.scrollTo({ left: link.offsetLeft - 40 });
    }
  },
  { rootMargin: "-20% 0px -75% 0px" },
);
document.querySelectorAll("main > section").forEach((section) => spy.observe(section));

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((box) => { box.open = true; });
  drawAll();
});
window.addEventListener("afterprint", () => closed.forEach((box) => { box.open = false; }));
