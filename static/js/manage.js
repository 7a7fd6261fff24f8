// On a phone the rooms are a row that scrolls: begin at the one that is open.
const here = document.querySelector(".manage-nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft + (here.offsetWidth - innerWidth) / 2;

// The export follows the search as it stands.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-with-filters]");
  if (link) link.search = location.search;
});
