// Runs the model beside the page, which stays alive meanwhile. Each message {id, method, value} is answered by
// {id, result} or {id, error}; loading also tells {loaded, total}. Messages are answered one after the other.

import { Model } from "./model.js";

const methods = {
  async load() {
    model = await Model.load((loaded, total) => self.postMessage({ loaded, total }));
    return model.description;
  },
  embedPicture: (file) => model.embedPicture(file),
  embedTexts: (texts) => model.embedTexts(texts),
};

let model;
let last = Promise.resolve();

self.onmessage = ({ data: { id, method, value } }) => {
  last = last
    .then(() => methods[method](value))
    .then(
      (result) => self.postMessage({ id, result }),
      (error) => self.postMessage({ id, error: String(error?.message ?? error) }),
    );
};
