// The page's side of worker.js.

export class Client {
  #worker;
  #open = new Map();
  #sent = 0;

  // `told` is called with (bytes loaded, bytes in all) while the model comes.
  constructor(told) {
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      if (data.total) return told(data.loaded, data.total);
      const { resolve, reject } = this.#open.get(data.id);
      this.#open.delete(data.id);
      return data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = new Error(event.message || "A script of this page cannot be loaded: put the whole folder online.");
      for (const { reject } of this.#open.values()) reject(error);
      this.#open.clear();
    };
  }

  load() {
    return this.#call("load");
  }

  embedPicture(file) {
    return this.#call("embedPicture", file);
  }

  embedTexts(texts) {
    return this.#call("embedTexts", texts);
  }

  #call(method, value) {
    const id = this.#sent++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, value });
    });
  }
}
