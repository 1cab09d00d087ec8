// The page: pictures come in and are embedded; a query ranks them, labels name them.

import { Album } from "./album.js";
import { Client } from "./client.js";
import { Gallery } from "./gallery.js";
import { chosen, dropped, mayBePicture } from "./intake.js";
import { percent, prompts, readLabels, showBars } from "./labels.js";
import { cosine, probabilities } from "./scores.js";

const at = (id) => document.getElementById(id);
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

const textEmbeddings = new Map();
const asked = {}; // search: the query's embedding; label: {labels, embeddings}
let description; // model.json, once the model is there
let chosenPath;

const client = new Client((loaded, total) => {
  work(`Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`, loaded / total);
});
const gallery = new Gallery(at("pictures"), choose);
const album = new Album(client, gallery, { work, changed: later(rank), counted, problem });

function work(text, share = 0) {
  at("work").hidden = text === "";
  at("status").textContent = text;
  at("progress").value = share;
}

function problem(text) {
  const line = document.createElement("li");
  const dismiss = Object.assign(document.createElement("button"), { type: "button", textContent: "Dismiss" });
  dismiss.addEventListener("click", () => line.remove());
  line.append(`${text} `, dismiss);
  at("problems").append(line);
}

// An event's action; what it throws is shown as a sentence.
function saying(action) {
  return async (event) => {
    event.preventDefault();
    try {
      await action(event);
    } catch (error) {
      problem(error.message);
    }
  };
}

// Many calls in a row become one a moment later.
function later(action) {
  let planned;
  return () => {
    planned ??= setTimeout(() => {
      planned = undefined;
      action();
    }, 150);
  };
}

async function take(files) {
  const pictures = files.filter(mayBePicture);
  if (pictures.length < files.length) {
    problem(`${files.length - pictures.length} of ${files.length} files are no pictures and were left out.`);
  }
  album.add(pictures);
  if (description) await album.embed();
}

function counted() {
  const number = album.pictures.size;
  at("clear").hidden = !number;
  at("pictures-title").textContent = { 0: "No pictures yet", 1: "One picture" }[number] ?? `${number} pictures`;
}

async function embeddingsOf(texts) {
  if (!description) throw new Error("The model is still loading: ask again when it is there.");
  const missing = texts.filter((text) => !textEmbeddings.has(text));
  const found = missing.length ? await client.embedTexts(missing) : [];
  missing.forEach((text, index) => textEmbeddings.set(text, found[index]));
  return texts.map((text) => textEmbeddings.get(text));
}

async function search() {
  const query = at("query").value.trim();
  if (!query) throw new Error("Write what you look for.");
  [asked.search] = await embeddingsOf([query]);
  rank();
}

async function label() {
  const labels = readLabels(at("labels").value);
  asked.label = { labels, embeddings: await embeddingsOf(prompts(labels, at("template").value)) };
  rank();
  const first = at("pictures").querySelector("button");
  if (!chosenPath && first) choose(first.dataset.path);
}

function mode() {
  return document.querySelector("input[name=mode]:checked").value;
}

function rank() {
  gallery.show(asked[mode()] === undefined ? [] : mode() === "search" ? ranked() : labelled());
  showChosen();
}

function ranked() {
  const scores = album.embedded.map(([path, { embedding }]) => ({ path, value: cosine(embedding, asked.search) }));
  scores.sort((one, other) => other.value - one.value);
  return scores.map((score) => ({ ...score, text: score.value.toFixed(3) }));
}

function labelled() {
  return album.embedded.map(([path, picture]) => {
    const shares = sharesOf(picture);
    const best = shares.indexOf(Math.max(...shares));
    return { path, value: shares[best], text: `${asked.label.labels[best]} ${percent(shares[best])}` };
  });
}

function sharesOf(picture) {
  const cosines = asked.label.embeddings.map((embedding) => cosine(picture.embedding, embedding));
  return probabilities(cosines, description);
}

function choose(path) {
  chosenPath = path;
  document.querySelector("input[name=mode][value=label]").checked = true;
  switchMode();
}

function showChosen() {
  const picture = album.pictures.get(chosenPath);
  gallery.choose(chosenPath);
  at("chosen").hidden = !picture;
  if (!picture) return;
  at("chosen-picture").src = picture.url;
  at("chosen-name").textContent = chosenPath;
  if (picture.embedding && asked.label) showBars(at("chosen-labels"), asked.label.labels, sharesOf(picture));
  else at("chosen-labels").replaceChildren();
}

function switchMode() {
  at("search").hidden = mode() !== "search";
  at("label").hidden = mode() !== "label";
  rank();
}

function clear() {
  album.clear();
  chosenPath = undefined;
  showChosen();
}

function wire() {
  for (const [button, input] of [
    ["choose-files", "files"],
    ["choose-folder", "folder"],
  ]) {
    at(button).addEventListener("click", () => at(input).click());
    at(input).addEventListener("change", saying(chooseFiles));
  }
  at("clear").addEventListener("click", clear);
  at("search").addEventListener("submit", saying(search));
  at("label").addEventListener("submit", saying(label));
  document.querySelectorAll("input[name=mode]").forEach((input) => input.addEventListener("change", switchMode));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
  addEventListener("dragleave", () => at("drop").classList.remove("over"));
  addEventListener("drop", () => at("drop").classList.remove("over"));
  addEventListener("drop", saying(async (event) => take(await dropped(event.dataTransfer))));
}

async function chooseFiles({ target }) {
  const files = chosen(target.files);
  target.value = ""; // so that the same may be chosen again
  await take(files);
}

async function begin() {
  try {
    description = await client.load();
  } catch (error) {
    work("");
    problem(`The model cannot be loaded. ${error.message}`);
    return;
  }
  const bytes = Object.values(description.bytes).reduce((sum, each) => sum + each, 0);
  at("model").textContent =
    `${description.name} (${description.family}, ${megabytes(bytes)} MB) runs in this browser: ` +
    "no picture and no text leaves it.";
  work("");
  document.body.dataset.ready = "";
  await album.embed();
}

wire();
begin();
