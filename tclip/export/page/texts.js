// From texts to token ids: the same as the model's tokenizer gives in Python.

import { Tokenizer } from "./lib/tokenizers.js";

export class TextReader {
  // tokenizer and config: tokenizer.json and tokenizer_config.json; steps: "text" in model.json.
  constructor(tokenizer, config, steps) {
    this.tokenizer = new Tokenizer(tokenizer, config);
    this.steps = steps;
    const { before, after } = this.#specials();
    this.before = before;
    this.after = after;
  }

  // The ids of a text, cut to the tower's positions, its end token kept; padded where the tower pools the last one.
  ids(text) {
    const own = this.#own(text);
    const room = this.steps.max_tokens - this.before.length - this.after.length;
    const kept = this.steps.truncation_side === "left" ? own.slice(Math.max(own.length - room, 0)) : own.slice(0, room);
    const ids = [...this.before, ...kept, ...this.after];
    const padding = new Array(Math.max((this.steps.pad_to ?? 0) - ids.length, 0)).fill(this.steps.pad_id);
    return this.steps.padding_side === "left" ? [...padding, ...ids] : [...ids, ...padding];
  }

  // The first text that is read otherwise than in Python, or undefined.
  misread() {
    return this.steps.probes.find(({ text, ids }) => this.ids(text).join() !== ids.join())?.text;
  }

  // Rust lowers letters one by one; JavaScript makes another letter of a sigma that ends a word.
  #own(text) {
    return this.tokenizer.encode(text.replaceAll("Σ", "σ"), { add_special_tokens: false }).ids;
  }

  #specials() {
    const own = this.#own("a");
    const whole = this.tokenizer.encode("a").ids;
    let first = 0;
    while (own.some((id, index) => whole[first + index] !== id)) first++;
    return { before: whole.slice(0, first), after: whole.slice(first + own.length) };
  }
}
