// The model in this browser: ONNX Runtime's two sessions, and what turns pictures and texts into their inputs.

import * as ort from "./lib/ort.js";
import { decode, fit } from "./pictures.js";
import { TextReader } from "./texts.js";

const MOST_THREADS = 8;

export class Model {
  // Load everything that model.json names. `told` is called with (bytes loaded, bytes in all).
  static async load(told) {
    const description = await (await fetched("model.json")).json();
    const total = Object.values(description.bytes).reduce((sum, bytes) => sum + bytes, 0);
    let loaded = 0;
    const read = async (path) => {
      const content = await contentOf(path, description.bytes[path], (bytes) => told((loaded += bytes), total));
      return path.endsWith(".json") ? JSON.parse(new TextDecoder().decode(content)) : content;
    };
    const texts = new TextReader(
      await read("tokenizer.json"),
      await read("tokenizer_config.json"),
      description.text,
    );
    const misread = texts.misread();
    if (misread !== undefined) {
      throw new Error(`This browser reads the text "${misread.slice(0, 40)}" otherwise than the model's tokenizer.`);
    }
    ort.env.wasm.wasmBinary = await read("lib/ort.wasm");
    // threads need memory that is shared, which browsers grant to isolated pages alone
    ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    const image = await session(await read(description.image_encoder));
    const text = await session(await read(description.text_encoder));
    return new Model(description, image, text, texts);
  }

  constructor(description, image, text, texts) {
    this.description = description;
    this.image = image;
    this.text = text;
    this.texts = texts;
  }

  // The embedding of a picture file: L2-normalised, as all embeddings.
  async embedPicture(file) {
    const { size, ...steps } = this.description.image;
    const pixels = fit(await decode(file), steps);
    const input = new ort.Tensor("uint8", new Uint8Array(pixels.buffer), [1, ...size, 3]);
    const { image_embeds } = await this.image.run({ pixels: input });
    return image_embeds.data;
  }

  // The embeddings of texts, a list.
  async embedTexts(texts) {
    const embeddings = [];
    for (const text of texts) {
      const ids = BigInt64Array.from(this.texts.ids(text), BigInt);
      const input = new ort.Tensor("int64", ids, [1, ids.length]);
      const { text_embeds } = await this.text.run({ input_ids: input });
      embeddings.push(text_embeds.data);
    }
    return embeddings;
  }
}

function session(file) {
  return ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
}

async function fetched(path) {
  let response;
  try {
    response = await fetch(new URL(path, import.meta.url));
  } catch {
    throw new Error(`${path} cannot be fetched: the server does not answer.`);
  }
  if (!response.ok) {
    throw new Error(
      `${path} cannot be fetched (${response.status}): put the whole folder that tclip wrote on the server.`,
    );
  }
  return response;
}

// The bytes of a file; `told` is called with the bytes of every piece that comes.
async function contentOf(path, length, told) {
  const reader = (await fetched(path)).body.getReader();
  const content = new Uint8Array(length);
  let filled = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    if (filled + piece.value.length <= length) content.set(piece.value, filled);
    filled += piece.value.length;
    told(piece.value.length);
  }
  if (filled !== length) {
    throw new Error(`${path} has another length than model.json says: put the whole folder on the server again.`);
  }
  return content;
}
