// Labels as people write them, the texts that are made of them, and the bars of one picture.

import { element } from "./gallery.js";

// Labels one a line or with commas between; each once.
export function readLabels(text) {
  const labels = text.split(/[\n,]/).map((label) => label.trim());
  return [...new Set(labels.filter((label) => label !== ""))];
}

// The template filled with each label. Throws a sentence where that is not possible.
export function prompts(labels, template) {
  if (!labels.length) throw new Error("Write at least one label.");
  if (!template.includes("{}")) throw new Error("The template has no {}, where the label would go.");
  return labels.map((label) => template.replaceAll("{}", label));
}

// Show how likely each label is, the likeliest first.
export function showBars(list, labels, shares) {
  const order = labels.map((_, index) => index).sort((one, other) => shares[other] - shares[one]);
  const rows = order.map((index) => {
    const row = element("li");
    row.dataset.label = labels[index];
    row.dataset.share = shares[index];
    const bar = element("span", "bar");
    bar.style.setProperty("--share", percent(shares[index]).replace(/\s/, ""));
    row.append(element("span", "name", labels[index]), bar, element("span", "score", percent(shares[index])));
    return row;
  });
  list.replaceChildren(...rows);
}

export function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}
