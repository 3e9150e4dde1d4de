/* What the theme's markup keeps from readers who use a keyboard or a screen reader. tests/pages checks it with axe. */
document.addEventListener("DOMContentLoaded", () => {
  // A box that scrolls takes the focus, so that the arrow keys can scroll it. The theme does this for code alone, and
  // only some time after the window changed.
  const boxes = "pre, table, figure, mjx-container, .cell_output, .cell_output .output";
  const article = document.querySelector(".bd-article");
  const update = () =>
    article.querySelectorAll(boxes).forEach((box) => {
      if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
      else if (box.tabIndex === 0 && box.tagName !== "MJX-CONTAINER") box.tabIndex = -1;
    });
  if (article) new ResizeObserver(update).observe(article);

  // These have text, and are called otherwise: whoever says the text to the machine is not understood.
  document
    .querySelectorAll("summary[aria-label], .search-button-field[aria-label]")
    .forEach((named) => named.removeAttribute("aria-label"));
  // The button has a name; its icons, which Font Awesome draws some time later and titles, are decoration.
  document.querySelectorAll(".theme-switch-button").forEach((button) => {
    const hide = () =>
      button.querySelectorAll("svg").forEach((icon) => {
        icon.querySelectorAll("title").forEach((title) => title.remove());
        ["role", "aria-labelledby"].forEach((name) => icon.removeAttribute(name));
        icon.setAttribute("aria-hidden", "true");
      });
    new MutationObserver(hide).observe(button, { childList: true, subtree: true });
    hide();
  });

  // Roles that WAI-ARIA withdrew, in a list that would have to hold list items.
  document
    .querySelectorAll(".citation-list, [role=doc-biblioentry]")
    .forEach((entry) => entry.removeAttribute("role"));
});
