// The pictures that came in: kept by path, shown at once, embedded one after the other.

export class Album {
  pictures = new Map(); // path: {file, url, embedding}
  #waiting = [];
  #running = false;
  #finished = 0; // of those that came since nothing was waiting
  #expected = 0;
  #client;
  #gallery;
  #told;

  // `told` has: work(text, share), changed() when there is an embedding more, counted(), problem(text).
  constructor(client, gallery, told) {
    this.#client = client;
    this.#gallery = gallery;
    this.#told = told;
  }

  // Those that are embedded: [[path, picture]].
  get embedded() {
    return [...this.pictures].filter(([, picture]) => picture.embedding);
  }

  // Take files, [{file, path}]; a file that is here already is left out.
  add(files) {
    for (const { file, path: wanted } of files) {
      const path = this.#freePath(wanted, file);
      if (path === undefined) continue;
      const url = URL.createObjectURL(file);
      this.pictures.set(path, { file, url });
      this.#gallery.add(path, url);
      this.#waiting.push(path);
      this.#expected++;
    }
    this.#told.counted();
  }

  // Embed all that wait; called again meanwhile it does nothing.
  async embed() {
    if (this.#running) return;
    this.#running = true;
    while (this.#waiting.length) {
      this.#told.work(
        `Embedding pictures: ${this.#finished} of ${this.#expected}`,
        this.#finished / this.#expected,
      );
      await this.#embedOne(this.#waiting.shift());
      this.#finished++;
    }
    this.#running = false;
    this.#finished = this.#expected = 0;
    this.#told.work("");
    this.#told.changed();
  }

  clear() {
    this.#waiting.length = this.#finished = this.#expected = 0;
    [...this.pictures.keys()].forEach((path) => this.#forget(path));
  }

  async #embedOne(path) {
    const picture = this.pictures.get(path);
    try {
      picture.embedding = await this.#client.embedPicture(picture.file);
      this.#told.changed();
    } catch (error) {
      this.#forget(path);
      this.#told.problem(`${path}: ${error.message}.`);
    }
  }

  #forget(path) {
    URL.revokeObjectURL(this.pictures.get(path)?.url);
    this.pictures.delete(path);
    this.#gallery.remove(path);
    this.#told.counted();
  }

  // Two files of one name may come from two folders whose paths the browser does not tell.
  #freePath(wanted, file) {
    for (let path = wanted, number = 2; ; path = `${wanted} (${number++})`) {
      const other = this.pictures.get(path)?.file;
      if (!other) return path;
      if (other.size === file.size && other.lastModified === file.lastModified) return undefined;
    }
  }
}
