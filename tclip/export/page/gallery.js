// The pictures on the page: a card each, in the order of their scores.

export class Gallery {
  #list;
  #cards = new Map();

  // `onChoose` is called with the key of a picture that a person picks.
  constructor(list, onChoose) {
    this.#list = list;
    this.#list.addEventListener("click", (event) => {
      const card = event.target.closest("button");
      if (card) onChoose(card.dataset.path);
    });
  }

  add(path, url) {
    const item = document.createElement("li");
    const button = element("button", "card");
    button.type = "button";
    button.dataset.path = path;
    const image = element("img");
    Object.assign(image, { src: url, alt: "", loading: "lazy", decoding: "async" });
    const name = element("span", "name", path.split("/").pop());
    name.title = path;
    button.append(image, name, element("span", "score"));
    item.append(button);
    this.#list.append(item);
    this.#cards.set(path, item);
  }

  remove(path) {
    this.#cards.get(path)?.remove();
    this.#cards.delete(path);
  }

  clear() {
    this.#cards.clear();
    this.#list.replaceChildren();
  }

  choose(path) {
    for (const [each, item] of this.#cards) {
      item.firstElementChild.setAttribute("aria-pressed", String(each === path));
    }
  }

  // Show scores and put the cards in the order of the list: [{path, text, value}], the best first.
  show(scores) {
    for (const item of this.#cards.values()) this.#score(item, "", undefined);
    for (const { path, text, value } of scores) this.#score(this.#cards.get(path), text, value);
    const ranked = new Set(scores.map(({ path }) => this.#cards.get(path)));
    const others = [...this.#cards.values()].filter((item) => !ranked.has(item));
    this.#list.append(...ranked, ...others);
  }

  #score(item, text, value) {
    const card = item.firstElementChild;
    card.lastElementChild.textContent = text;
    if (value === undefined) delete card.dataset.score;
    else card.dataset.score = value;
  }
}

export function element(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
